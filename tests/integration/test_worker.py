"""The worker as a process."""

import subprocess
import sys
from pathlib import Path

from tests.integration.launch import launch


def test_importing_the_worker_loads_no_torch():
    code = "import sys, worker.app, worker.__main__; print({'torch', 'numpy', 'ddoq.stages'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_the_parent_of_a_running_worker_has_not_loaded_torch(server_folder):
    with launch(server_folder) as launched:
        parent = launched.worker()
        assert parent.children(), "the pool's child is not there"
        mapped = Path(f"/proc/{parent.pid}/maps").read_text()
    assert "libtorch" not in mapped
