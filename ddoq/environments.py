"""What computed the files of a folder: versions and a device, and nothing else of the machine. Torch-free."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from ddoq.events import Stage

NAME: Final = "environment.json"  # in the folder of a block, and of whatever a cache keeps
PROVENANCE: Final = "provenance.json"  # in the folder of a stage, and in the archive


@dataclass(frozen=True)
class Environment:
    """Versions of Python and of the packages that compute or read, by name, and the device.

    `device` is its kind, as torch calls it; of `cuda` there is a `device_name`, and CUDA's version among the others.
    """

    versions: Mapping[str, str]
    device: str
    device_name: str | None = None

    def in_words(self) -> str:
        """Name everything in one line."""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return f"{versions} on {self.device_name or self.device}"


Provenance = Mapping[Stage, tuple[Environment, ...]]
"""By stage, the different environments that took part, sorted; what is not known is left out."""

_SEVERAL: Final = TypeAdapter(tuple[Environment, ...])
_PROVENANCE: Final = TypeAdapter(Provenance)


def note_environments(folder: Path, environments: Iterable[Environment]) -> None:
    """Write into `folder`, which need not be there, what computes its files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_bytes(_SEVERAL.dump_json(_distinct(environments), indent=1))


def environments_of(folder: Path) -> tuple[Environment, ...]:
    """Read what computed the files of `folder`; nothing where nobody noted it."""
    file = folder / NAME
    return _SEVERAL.validate_json(file.read_bytes()) if file.is_file() else ()


def provenance_json(provenance: Provenance) -> bytes:
    """Write a provenance as the member of the archive."""
    return _PROVENANCE.dump_json(provenance, indent=1)


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Write what computed the stage in `folder` and those before it."""
    (folder / PROVENANCE).write_bytes(provenance_json(provenance))


def read_provenance(folder: Path) -> Provenance:
    """Read what computed the stage in `folder` and those before it; nothing where nobody noted it."""
    file = folder / PROVENANCE
    return _PROVENANCE.validate_json(file.read_bytes()) if file.is_file() else {}


def unite(several: Iterable[Provenance]) -> Provenance:
    """Put together what is known of the stages, in their order."""
    found = defaultdict[Stage, list[Environment]](list)
    for provenance in several:
        for stage, environments in provenance.items():
            found[stage] += environments
    return {stage: _distinct(found[stage]) for stage in Stage if found[stage]}


def _distinct(environments: Iterable[Environment]) -> tuple[Environment, ...]:
    """Leave out what is there twice, and sort the rest."""
    by_text = {_SEVERAL.dump_json((environment,)): environment for environment in environments}
    return tuple(by_text[text] for text in sorted(by_text))
