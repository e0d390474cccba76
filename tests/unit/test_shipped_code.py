"""What no shipped module may do, whoever calls it: the rules of docs/security.md that are kept by not being broken."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    path for package in ("ddoq", "jobs", "api", "worker", "cli") for path in (ROOT / package).rglob("*.py")
)
RESOLVERS = {"fsspec", "datasets", "smart_open"}
"""Libraries that would fetch whatever an address says."""

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def imported(tree: ast.Module) -> set[str]:
    """Name the top-level packages that a module imports, wherever in it."""
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    parts = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | parts}


def calls(tree: ast.Module) -> Iterator[str]:
    """Name what is called, as in `torch.load` or `.extractall`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            yield f".{node.func.attr}"
            if isinstance(of, ast.Name):
                yield f"{of.id}.{node.func.attr}"


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text("utf-8")) for path in SHIPPED}


def test_no_library_resolves_addresses_for_us(trees: dict[str, ast.Module]) -> None:
    assert {name: found for name, tree in trees.items() if (found := imported(tree) & RESOLVERS)} == {}


def test_no_pickle_is_loaded_or_written(trees: dict[str, ast.Module]) -> None:
    assert {name: found for name, tree in trees.items() if (found := imported(tree) & PICKLES)} == {}
    torch_pickles = {"torch.load", "torch.save"}
    assert {name: found for name, tree in trees.items() if (found := set(calls(tree)) & torch_pickles)} == {}


def test_no_archive_but_our_own_is_unpacked_by_its_own_names(trees: dict[str, ast.Module]) -> None:
    unpackers = {".extractall", "shutil.unpack_archive"}
    found = {name for name, tree in trees.items() if set(calls(tree)) & unpackers}
    assert found == {"jobs/caches.py"}  # what a worker packed itself


def test_what_is_looked_for_is_found() -> None:
    tree = ast.parse("import fsspec.core\nfrom pickle import loads\ntorch.load(x)\nopen(x).extractall(y)")
    assert imported(tree) == {"fsspec", "pickle"}
    assert {"torch.load", ".extractall"} <= set(calls(tree))
