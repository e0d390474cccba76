"""Lines of the log."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest

from jobs.keys import new_secret
from jobs.logs import FIELDS, JsonLines, TextLines, bind, bound

log = logging.getLogger("tests.logs")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("api"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield stream
    log.removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object_that_says_when_where_and_what(stream: io.StringIO) -> None:
    log.info("unit %s\nis done", 7)
    (line,) = lines(stream)
    assert (line["level"], line["process"], line["message"]) == ("info", "api", "unit 7\nis done")
    assert line["at"].endswith("+00:00")


def test_a_line_names_what_is_being_worked_on(stream: io.StringIO) -> None:
    with bound(job_id="job_1", attempt=2):
        log.info("in", extra={FIELDS: {"status": 200}})
    log.info("out")
    inside, outside = lines(stream)
    assert (inside["job_id"], inside["attempt"], inside["status"]) == ("job_1", 2, 200)
    assert "job_id" not in outside


def test_a_thread_with_a_copied_context_names_it_too(stream: io.StringIO) -> None:
    with bound(job_id="job_1"):
        thread = threading.Thread(target=copy_context().run, args=(log.info, "from a thread"))
    thread.start()
    thread.join()
    assert lines(stream)[0]["job_id"] == "job_1"


def test_what_is_bound_in_a_context_stays_there(stream: io.StringIO) -> None:
    copy_context().run(bind, request_id="req_1")
    log.info("outside")
    assert "request_id" not in lines(stream)[0]


def test_an_exception_is_a_field_of_its_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("it broke")
    except ValueError:
        log.exception("unit %s broke", 7)
    (line,) = lines(stream)
    assert line["message"] == "unit 7 broke"
    assert line["exception"].endswith("ValueError: it broke")


@pytest.mark.parametrize("formatter", [JsonLines("api"), TextLines("{levelname} {message}{tail}", style="{")])
def test_no_secret_is_logged_in_message_field_or_exception(formatter: logging.Formatter) -> None:
    secret = new_secret()
    try:
        raise ValueError(f"{secret} is wrong")
    except ValueError as error:
        exc_info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("name", logging.ERROR, "file", 1, f"{secret} %s", (secret,), exc_info)
    setattr(record, FIELDS, {"given": secret})
    line = formatter.format(record)
    assert secret not in line
    assert line.count("ddoq_[redacted]") >= 4
