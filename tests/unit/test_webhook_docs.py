"""docs/webhooks.md against the code."""

import time
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from jobs.webhook_queue import RETRY_SECONDS
from jobs.webhook_records import PING, JobEventType
from jobs.webhook_secrets import new_secret, shown, signatures

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text("utf-8")


@pytest.mark.parametrize("event", [*JobEventType, PING])
def test_every_type_of_message_is_documented(event: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert any(f"`{event}`" in row.split("|")[1] for row in rows)


def test_the_documented_retries_are_those_that_are_made() -> None:
    hours = ", ".join(str(seconds // 3600) for seconds in RETRY_SECONDS[3:-1])
    assert f"after 5 s, 5 min, 30 min, {hours} and {RETRY_SECONDS[-1] // 3600} h" in PAGE
    assert RETRY_SECONDS[:3] == (5, 300, 1800)


def test_the_documented_way_to_verify_by_package_takes_ours_and_nothing_else() -> None:
    code = next(part for part in PAGE.split("```python\n") if part.startswith("from standardwebhooks")).partition(
        "```"
    )[0]
    secret, now = new_secret(), int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = signatures([secret], "msg_1", now, b'{"type": "ping"}')
    names: dict[str, Any] = {"secret": shown(secret), "headers": headers, "body": b'{"type": "ping"}'}
    exec(code, names)
    assert names["message"] == {"type": "ping"}
    with pytest.raises(WebhookVerificationError):
        exec(code, {**names, "secret": shown(new_secret())})


def test_the_documented_way_to_verify_by_hand_takes_ours_and_nothing_else() -> None:
    code = next(part for part in PAGE.split("```python\n") if part.startswith("import base64")).partition("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    secret, other, now = new_secret(), new_secret(), int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = signatures([other, secret], "msg_1", now, b"{}")
    names["verify"](shown(secret), headers, b"{}")
    for wrong, body in ((new_secret(), b"{}"), (secret, b"{ }")):
        with pytest.raises(ValueError, match="not signed"):
            names["verify"](shown(wrong), headers, body)
    with pytest.raises(ValueError, match="too old"):
        names["verify"](shown(secret), {**headers, "webhook-timestamp": str(now - 301)}, b"{}")
