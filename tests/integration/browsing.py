"""A browser without a window: it keeps cookies, says where requests come from, and sends the forms of pages."""

import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from typing import Any

from starlette.testclient import TestClient

OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Browser:
    """Somebody who looks at pages."""

    client: TestClient

    def open(self, path: str) -> Any:
        """Open a page, and go where it leads."""
        return self.client.get(path, headers={"Sec-Fetch-Site": "none"})

    def sign_in(self, authorization: dict[str, str], to: str = "/") -> Any:
        """Enter the key that a header carries."""
        key = authorization["Authorization"].removeprefix("Bearer ")
        return self.client.post("/sign-in", data={"key": key, "to": to}, headers=OWN, follow_redirects=False)

    def proof(self) -> str:
        """Read what the forms of this session carry."""
        found = re.search(r'name="form_token" value="(\w+)"', self.open("/").text)
        assert found
        return found[1]

    def send(self, path: str, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        """Send a form of a page; `headers` instead of those of a browser on the page itself."""
        fields.setdefault("form_token", self.proof())
        return self.client.post(path, data=fields, headers=OWN if headers is None else headers, follow_redirects=False)


class _Fields(HTMLParser):
    """What a browser sends of the forms of a page that nobody has touched, but for their buttons."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._name = ""  # of the select or textarea at hand
        self._is_text = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        is_off = given.get("type") in {"checkbox", "file"} and "checked" not in given
        if tag == "input" and "name" in given and not is_off:
            self.found[given["name"]] = given.get("value", "")
        elif tag in {"select", "textarea"}:
            self._name, self._is_text = given["name"], tag == "textarea"
            self.found[self._name] = ""
        elif tag == "option":
            self._is_text = "selected" in given and "value" not in given

    def handle_data(self, data: str) -> None:
        if self._name and self._is_text:
            self.found[self._name] += data

    def handle_endtag(self, tag: str) -> None:
        if tag in {"select", "textarea"}:
            self.found[self._name] = self.found[self._name].strip()
            self._name = ""


def fields_of(page: Any) -> dict[str, str]:
    """Read the fields of the forms of a page as a browser would send them."""
    fields = _Fields()
    fields.feed(page.text)
    return fields.found


def text_of(page: Any) -> str:
    """What is read on a page, in one line."""
    inside = re.sub(r"<(head|script)\b.*?</\1>", "", page.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", inside)).split())
