"""`python -m worker.health`: is the worker of this machine, or of this container, at work? Ends with 1 if it is not.

It asks the database for what the worker says of itself every few seconds. While the database does not answer, nothing
is known against the worker, which waits for it as well: a health check must not end all workers for that.
"""

import re
import socket
import sys

from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import OperationalError

from jobs.presence import read_present
from jobs.settings import load_settings


def find_fault(database_url: str, host: str) -> str | None:
    """Say what is wrong with the worker of `host`, if anything is known to be."""
    engine = create_engine(database_url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    try:
        present = read_present(engine)
    except OperationalError:
        return None
    own = re.compile(rf"{re.escape(host)}-\d+")  # as worker.presence names it
    is_here = any(own.fullmatch(worker.name) for worker in present)
    return None if is_here else f"no worker of {host} has told the database within a minute that it is there"


def main() -> None:
    sys.exit(find_fault(load_settings().database_url, socket.gethostname()))


if __name__ == "__main__":
    main()
