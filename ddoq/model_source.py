"""Models of diffusers and transformers, from a local folder or a hub repository at a commit. Safetensors only."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from diffusers.configuration_utils import ConfigMixin
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError

from ddoq.errors import DdoqError, PriorNotFoundError, TeacherNotFoundError

WHY_SAFETENSORS = "only weights in .safetensors are read, since a pickle (.bin, .ckpt) can run code"

Part = Literal["prior", "teacher"]
ERRORS: Mapping[Part, type[DdoqError]] = MappingProxyType(
    {"prior": PriorNotFoundError, "teacher": TeacherNotFoundError}
)
FAULTS = (OSError, HfHubHTTPError, ValueError, ImportError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class ModelSource:
    """A folder, or a hub id with the commit that is meant; the latter needs no network once it is in the hub's cache.

    `part` is that of the config which names it. Every method raises its error, PriorNotFoundError or
    TeacherNotFoundError, when what it loads is not there or is not what it has to be. No code of a model is run.
    """

    name: str
    revision: str | None
    part: Part = "prior"

    def __post_init__(self) -> None:
        if self.revision is None and not self._is_folder:
            raise self.error(
                f"no folder {self.name!r}; for a hub id set {self.part}.revision to the commit that is meant"
            )

    @property
    def error(self) -> type[DdoqError]:
        """What is raised when it is not what it has to be."""
        return ERRORS[self.part]

    def read_json(self, file: str) -> dict[str, Any]:
        """Read one of the JSON files, such as `model_index.json`."""
        content = self._checked(lambda: json.loads(self._path(file).read_bytes()), file)
        if not isinstance(content, dict):
            raise self.error(f"{file} of {self.name!r} is not a JSON object")
        return content

    def load_model(self, kind: Any, subfolder: str | None, dtype: torch.dtype, **further: Any) -> Any:
        """Load one model of diffusers or transformers, all of its weights, and nothing that lies beside it."""
        where = {**self._where(subfolder), **further, "use_safetensors": True, "output_loading_info": True}
        if issubclass(kind, ConfigMixin):  # low_cpu_mem_usage would want accelerate, of no use on a single device
            options = {"torch_dtype": dtype, "low_cpu_mem_usage": False}
        else:
            options = {"dtype": dtype}
        what = f"{kind.__name__} ({WHY_SAFETENSORS})"
        model, found = self._checked(lambda: kind.from_pretrained(self.name, **where, **options), what)
        if missing := sorted(found["missing_keys"]):  # the libraries would draw these at random
            raise self.error(
                f"{kind.__name__} of {self.name!r} lacks {len(missing)} of its weights, {missing[0]!r} first"
            )
        return model

    def load_part(self, kind: Any, subfolder: str | None, **further: Any) -> Any:
        """Load what has no weights: a tokenizer or a config of transformers."""
        where = {**self._where(subfolder), **further}
        return self._checked(lambda: kind.from_pretrained(self.name, **where), kind.__name__)

    @property
    def _is_folder(self) -> bool:
        return Path(self.name).is_dir()

    def _path(self, file: str) -> Path:
        if self._is_folder:
            return Path(self.name, file)
        return Path(hf_hub_download(self.name, file, revision=self.revision))

    def _where(self, subfolder: str | None) -> dict[str, Any]:
        place = {} if subfolder is None else {"subfolder": subfolder}
        return {**place, "local_files_only": True} if self._is_folder else {**place, "revision": self.revision}

    def _checked(self, load: Callable[[], Any], what: str) -> Any:
        try:
            return load()
        except FAULTS as error:
            sentence = str(error).strip().partition("\n")[0]
            raise self.error(f"cannot load {what} from {self.name!r}: {sentence}") from error
