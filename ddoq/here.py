"""The environment of this process, and the folders of the blocks that it makes."""

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import torch

from ddoq.blocks import block_folder
from ddoq.device import choose_device
from ddoq.environments import Environment, note_environments

PACKAGES: Final = (
    "ddoq",
    "diffusers",
    "numba",
    "numpy",
    "pillow",
    "pot",
    "pyarrow",
    "safetensors",
    "torch",
    "transformers",
)


def environment_here() -> Environment:
    """Tell the versions and the device of this process."""
    versions, device = {"Python": platform.python_version()}, choose_device()
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    if device.type != "cuda":
        return Environment(versions, device.type)
    if torch.version.cuda:  # else it is ROCm, which torch calls by the same name
        versions["CUDA"] = torch.version.cuda
    return Environment(versions, device.type, torch.cuda.get_device_name(device))


def fresh_folder(folder: Path, block: int) -> Path:
    """Make a folder for a block, in the place of what an attempt may have left there, with a note of who makes it."""
    own = block_folder(folder, block)
    shutil.rmtree(own, ignore_errors=True)
    note_environments(own, (environment_here(),))
    return own
