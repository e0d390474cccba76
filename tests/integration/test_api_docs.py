"""The description of the API as a page that asks nobody else."""

import re
from html.parser import HTMLParser

from starlette.testclient import TestClient


class Loaded(HTMLParser):
    """What a page loads by itself, and what would be code inside of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag in {"script", "link", "img", "iframe"}:
            self.urls += [given.get("src") or given.get("href") or ""]
        self.inside += [name for name in given if name == "style" or name.startswith("on")]
        self.inside += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []


def test_all_that_the_page_loads_comes_from_here(client: TestClient) -> None:
    page = client.get("/docs")
    loaded = Loaded(page.text)
    assert page.headers["content-type"].startswith("text/html")
    assert len(loaded.urls) == 4
    assert not [url for url in loaded.urls if re.match(r"\w+:|//", url)]
    kinds = [client.get(f"/{url}").headers["content-type"].partition(";")[0] for url in loaded.urls]
    assert kinds == ["image/png", "text/css", "text/javascript", "text/javascript"]


def test_what_starts_it_reads_only_our_own_description(client: TestClient) -> None:
    script = client.get("/docs/start.js").text
    assert re.findall(r'fetch\("([^"]*)"\)', script) == ["openapi.json"]
    assert "//" not in re.sub(r"// .*", "", script)
    assert "validatorUrl: null" in script


def test_the_stylesheet_asks_for_nothing(client: TestClient) -> None:
    sheet = client.get("/docs/swagger-ui.css").text
    assert "@import" not in sheet
    assert {url[:5] for url in re.findall(r"url\(\W?([^)]*)", sheet)} <= {"data:"}


def test_the_policy_of_the_page_lets_nothing_else_in(client: TestClient) -> None:
    page = client.get("/docs")
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect")} == {"'self'"}
    assert Loaded(page.text).inside == []


def test_the_page_that_came_with_it_is_not_served(client: TestClient) -> None:
    assert [client.get(f"/docs/{name}").status_code for name in ("index.html", "swagger-initializer.js")] == [404, 404]
