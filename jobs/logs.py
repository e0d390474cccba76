"""Logs of every process: one JSON object a line on stderr, with what was being worked on, and without secrets."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from jobs.redaction import learn, redact
from jobs.settings import LogFormat, Settings

Value = str | int | float | None
NOTHING: Final[Mapping[str, Value]] = MappingProxyType({})
FIELDS: Final = "fields"  # of a record: what is told beside the message, as in log.info("…", extra={FIELDS: {…}})

CHATTY: Final = ("alembic", "boto3", "botocore", "httpcore", "httpx", "urllib3")  # a line a request, or an address

_bound: ContextVar[Mapping[str, Value]] = ContextVar("bound", default=NOTHING)


def bind(**fields: Value) -> None:
    """Name in every later line of this context what is being worked on."""
    _bound.set({**_bound.get(), **fields})


@contextmanager
def bound(**fields: Value) -> Iterator[None]:
    """Name in every line within the block what is being worked on. A new thread sees it if given a copied context."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonLines(logging.Formatter):
    """A record as one JSON object; an exception is one of its fields."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        clean = {name: redact(value) if isinstance(value, str) else value for name, value in line.items()}
        return json.dumps(clean, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """The same for people: a sentence, then the fields as `name=value`, then a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        record.tail = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return redact(super().format(record))


def _fields(record: logging.LogRecord) -> Mapping[str, Value]:
    own: Mapping[str, Value] = getattr(record, FIELDS, NOTHING)
    return {**_bound.get(), **own}


def start_logs(settings: Settings, process: str) -> None:
    """Send the logs of this process, whose kind is `process`, to stderr; from now on they hold none of its secrets."""
    learn(settings)
    line = logging.StreamHandler(sys.stderr)
    if settings.log_format is LogFormat.JSON:
        line.setFormatter(JsonLines(process))
    else:
        line.setFormatter(TextLines("{asctime} {levelname:<7} {name}: {message}{tail}", style="{"))
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    root.handlers = [line]
    root.setLevel(settings.log_level.upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
