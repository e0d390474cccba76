"""The service's own modules stay light."""

import pkgutil
import subprocess
import sys

import pytest

import jobs


@pytest.mark.parametrize("module", [module.name for module in pkgutil.iter_modules(jobs.__path__)])
def test_importing_a_module_of_jobs_loads_no_torch(module: str) -> None:
    code = f"import sys, jobs.{module}; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
