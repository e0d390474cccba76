"""`python -m worker`: one worker, one unit at a time."""

from jobs.logs import start_logs
from jobs.queue import QUEUE
from jobs.settings import load_settings
from worker.app import create_worker

# Prefork, since a child can be ended without its parent; one child, since a GPU has room for one unit.
OPTIONS = ("--pool=prefork", "--concurrency=1", "--without-gossip", "--without-mingle")


def main() -> None:
    settings = load_settings()
    start_logs(settings, "worker")
    create_worker(settings).worker_main(["--quiet", "worker", f"--queues={QUEUE}", *OPTIONS])


if __name__ == "__main__":
    main()
