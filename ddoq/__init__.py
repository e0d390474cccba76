"""Dataset distillation as pushforward optimal quantization (arXiv:2501.07681): the algorithm, without any service.

`ddoq.load_archive` reads what a distillation made, `ddoq.train` trains on it, and `ddoq.write_shard` makes a WebDataset
shard of it; none is loaded before it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddoq.archive import load_archive
    from ddoq.shards import write_shard
    from ddoq.training import train

__all__ = ["load_archive", "train", "write_shard"]

_MODULES = {"load_archive": "ddoq.archive", "train": "ddoq.training", "write_shard": "ddoq.shards"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ddoq' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
