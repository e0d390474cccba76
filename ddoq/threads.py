"""Work spread over the cores, each piece on one; or one piece as it would be there."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def one_core_each(n_threads: int | None = None) -> Iterator[ThreadPoolExecutor]:
    """Open threads (as many as torch would use, if not given) in each of which torch works on one core.

    What is computed in them does not depend on the number of cores: no sum is split differently.
    """
    n_cores = torch.get_num_threads()
    threads = ThreadPoolExecutor(n_threads or n_cores, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield threads
    finally:
        threads.shutdown(cancel_futures=True)
        torch.set_num_threads(n_cores)  # part of the setting is the whole program's


@contextmanager
def one_core() -> Iterator[None]:
    """Let torch work on one core in this thread: to the same bits as in a thread of `one_core_each`."""
    n_cores = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_cores)
