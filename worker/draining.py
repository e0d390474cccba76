"""The sign that a worker is to stop, from its main process to its child."""

import mmap
import time

LOOK_SECONDS = 0.2


class Flag:
    """Set by the main process, seen by the children that it forks. Has no lock that a killed child could take along."""

    def __init__(self) -> None:
        self._cell = mmap.mmap(-1, 1)  # shared with whoever is forked

    def set(self) -> None:
        """Show it, for ever."""
        self._cell[0] = 1

    def is_set(self) -> bool:
        """Whether it is shown."""
        return self._cell[0] == 1

    def wait(self, seconds: float) -> bool:
        """Wait until it is shown, for so long at most; answer whether it is."""
        end = time.monotonic() + seconds
        while not self.is_set() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, LOOK_SECONDS))
        return self.is_set()
