"""What a cluster would be given: the files of deploy/kubernetes, and what kustomize makes of them where it is there."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

KUBERNETES = Path(__file__).parents[1] / "deploy" / "kubernetes"
AS_WRITTEN = "as written"
OVERLAYS = ("cpu", "gpu", "keda")
WORKLOADS = ("Deployment", "Job")

Manifest = dict[str, Any]


@cache
def read(source: str) -> Sequence[Manifest]:
    """Read the manifests of an overlay as kubectl renders it, or of the base as it is written."""
    if source == AS_WRITTEN:
        texts = [path.read_text() for path in sorted((KUBERNETES / "base").glob("*.yaml"))]
        found = [one for text in texts for one in yaml.safe_load_all(text)]
        return [one for one in found if one["kind"] != "Kustomization"]
    return list(yaml.safe_load_all(_render(KUBERNETES / "overlays" / source)))


def kustomization(folder: str) -> Manifest:
    """Read what kustomize is told in a folder."""
    found: Manifest = yaml.safe_load((KUBERNETES / folder / "kustomization.yaml").read_text())
    return found


def of_kind(source: str, *kinds: str) -> dict[str, Manifest]:
    """Find manifests by their names."""
    return {one["metadata"]["name"]: one for one in read(source) if one["kind"] in kinds}


def pods(source: str) -> Iterator[tuple[str, Manifest]]:
    """List the pods of all workloads, by the workload's name."""
    for name, workload in of_kind(source, *WORKLOADS).items():
        yield name, workload["spec"]["template"]["spec"]


def containers(source: str) -> Iterator[tuple[str, Manifest]]:
    """List the containers of all pods, those that come first too."""
    for name, pod in pods(source):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            yield f"{name}/{container['name']}", container


def _render(folder: Path) -> str:
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl, whose kustomize renders the overlays; the base is checked as it is written")
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    return done.stdout
