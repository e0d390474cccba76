"""Look at a dataset before a job, in a child process with limits: nobody's bytes are parsed in the service's own."""

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ddoq.config import DistillConfig
from ddoq.errors import DatasetNotFoundError
from ddoq.findings import ANSWER, QUESTION, Findings, Question, Refusal, S3Place, StoredUpload, Web
from jobs.s3_keys import found_keys
from jobs.settings import Settings
from jobs.upload_errors import InspectionBusyError, InspectionFailedError, InspectionLimitError
from jobs.upload_uses import upload_id_of
from jobs.uploads import Uploads

MEMORY_BYTES = 4 * 2**30  # of addresses, most of them libraries'
POLL_SECONDS = 0.05
TOO_LARGE = 3  # exit status of `ddoq.inspection`
PASSED_ON = ("PATH", "LANG", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")  # of the environment: no secrets
LIMIT_SIGNALS = (-signal.SIGXCPU, -signal.SIGXFSZ, -signal.SIGKILL)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Child:
    """A process that answers a question; all that it writes lies in `folder`."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    started: float


class Inspector:
    """Looks at datasets, a few at a time. Safe to share between threads."""

    def __init__(self, settings: Settings, uploads: Uploads) -> None:
        self._settings = settings
        self._uploads = uploads
        self._room = threading.BoundedSemaphore(settings.inspections_at_once)

    def inspect(self, owner: str, config: DistillConfig) -> Findings:
        """Find out what a job of an owner would make of its dataset. The config has been admitted.

        Raises:
            DdoqError: what the job would fail with before any work.
            InspectionLimitError: it would take more time, memory or disk than is given.
            InspectionBusyError: too many are being looked at.
            InspectionFailedError: nobody knows.
        """
        if not self._room.acquire(blocking=False):
            most = self._settings.inspections_at_once
            raise InspectionBusyError(f"{most} datasets are being looked at; try again in a few seconds")
        try:
            with tempfile.TemporaryDirectory(prefix="ddoq-inspection-", ignore_cleanup_errors=True) as folder:
                answer = self._ask(self._question(owner, config, Path(folder)), Path(folder))
        finally:
            self._room.release()
        if isinstance(answer, Refusal):
            raise answer.error
        return answer

    def _question(self, owner: str, config: DistillConfig, folder: Path) -> Question:
        settings, upload_id = self._settings, upload_id_of(config.dataset.uri)
        key = upload_id and self._uploads.locate(owner, upload_id)
        if upload_id is not None and not key:
            raise DatasetNotFoundError(f"there is no complete upload {config.dataset.uri!r}; send the file first")
        return Question(
            config=config,
            file_roots=settings.file_roots,
            s3_buckets=settings.dataset_buckets,
            own_bucket=settings.s3_bucket,
            web=_web(settings),
            s3=_s3_place(settings) if config.dataset.uri.lower().startswith(("s3://", "upload://")) else None,
            upload=StoredUpload(upload_id, settings.s3_bucket, key) if upload_id and key else None,
            cache=folder / "sources",
            cpu_seconds=max(1, round(settings.inspection_seconds)),
            memory_bytes=MEMORY_BYTES,
            file_bytes=settings.inspection_bytes,
        )

    def _ask(self, question: Question, folder: Path) -> Findings | Refusal:
        with (folder / "answer").open("wb") as answer, (folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "ddoq.inspection"],
                stdin=subprocess.PIPE,
                stdout=answer,
                stderr=errors,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
        child = _Child(process, folder, time.monotonic())
        try:
            _tell(process, QUESTION.dump_json(question))
            self._wait(child)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # children of its own, too
            process.wait()
        return _read_answer(child)

    def _wait(self, child: _Child) -> None:
        """Wait for the end, unless it takes too long or too much of the disk."""
        settings = self._settings
        while child.process.poll() is None:
            if time.monotonic() - child.started > settings.inspection_seconds:
                raise InspectionLimitError(
                    f"looking at the dataset takes more than {settings.inspection_seconds:g} seconds; submit the job"
                )
            if _size(child.folder) > settings.inspection_bytes:
                raise InspectionLimitError(
                    f"more than {settings.inspection_bytes} bytes of the dataset would have to be fetched to look at "
                    "it; submit the job"
                )
            time.sleep(POLL_SECONDS)


def _tell(process: "subprocess.Popen[bytes]", question: bytes) -> None:
    assert process.stdin is not None  # noqa: S101  it is a pipe
    with suppress(BrokenPipeError), process.stdin:  # one that ended before it was asked has a status that tells why
        process.stdin.write(question)


def _s3_place(settings: Settings) -> S3Place:
    keys = found_keys(settings)
    opening = (keys.access_key or "", keys.secret_key or "", keys.session_token)
    return S3Place(settings.s3_endpoint, settings.s3_region, *opening)


def _web(settings: Settings) -> Web:
    return Web(
        hosts=settings.dataset_hosts,
        hub_datasets=settings.hub_datasets,
        hub=settings.hub_endpoint,
        private_networks=settings.private_networks,
        max_bytes=settings.max_dataset_bytes,
    )


def _environment(folder: Path) -> Mapping[str, str]:
    """Pass on what a process needs to start, and nothing that is secret."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": str(folder), "TMPDIR": str(folder)}
    return {**passed_on, **ours, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def _read_answer(child: _Child) -> Findings | Refusal:
    status = child.process.returncode
    errors = (child.folder / "errors").read_text("utf-8", "replace")[-2000:]
    if status == TOO_LARGE or status in LIMIT_SIGNALS:
        log.warning("an inspection was ended by its limits: status %s, %s", status, errors)
        raise InspectionLimitError(
            "looking at the dataset takes more memory, disk or time than is given; submit the job"
        )
    try:
        return ANSWER.validate_json((child.folder / "answer").read_bytes())
    except ValidationError as error:
        log.error("an inspection broke off: status %s, %s", status, errors)
        raise InspectionFailedError("looking at the dataset broke off; the server's log tells more") from error


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += path.lstat().st_size
    return total
