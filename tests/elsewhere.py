"""Another version of a package, as metadata on the path: the package itself stays what it is."""

from pathlib import Path

import pytest

from ddoq.environments import Environment
from ddoq.here import environment_here


def go_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Let this process find POT in a version that sorts before any other, from now on."""
    info = folder / "elsewhere" / "pot-0.0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pot\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(info.parent)
    return environment_here()
