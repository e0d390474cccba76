"""A browser without a window: it keeps cookies, says where requests come from, and sends the forms of pages."""

import re
from dataclasses import dataclass
from html import unescape
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


def text_of(page: Any) -> str:
    """What is read on a page, in one line."""
    inside = re.sub(r"<(head|script)\b.*?</\1>", "", page.text, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", inside)).split())
