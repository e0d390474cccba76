"""Somebody before a real browser, and a record of all that the browser asked for and complained about."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from jobs.states import TERMINAL

if TYPE_CHECKING:  # without Chromium these tests are skipped, and cost no import
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, LocatorAssertions, Page, Request

QUICK = {
    "images_per_class": 2,
    "prior": {"kind": "pixels", "resolution": 8},
    "students": {"seeds": 1, "steps": 2, "width": 8, "batch_size": 8},
}
DROP = """(zone, {name, bytes}) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
    zone.dispatchEvent(new DragEvent("dragover", {dataTransfer, cancelable: true, bubbles: true}));
    zone.dispatchEvent(new DragEvent("drop", {dataTransfer, cancelable: true, bubbles: true}));
}"""
DRAW = """images => Promise.all(images.map(image => {
    image.loading = "eager";
    return image.decode().catch(() => null);
}))"""
REFUSED = "Failed to load resource: the server responded with a status of 4"  # and the page says why
MOST_TABS = 80
ENDS = {state.value for state in TERMINAL}


@dataclass(frozen=True)
class Place:
    """A service with one worker, the key of its owner, and datasets that it may read."""

    url: str
    key: str
    small: Path
    digits: Path

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call the API as a program does; what has no news yet is waited for."""
        headers = {"Authorization": f"Bearer {self.key}", "Prefer": "wait=30"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=120)
        answer.raise_for_status()
        return answer.json()

    def submit(self, dataset: Path, **asked: object) -> str:
        """Submit a job by the API; answer its id."""
        return str(self.ask("POST", "/v1/jobs", {"dataset": {"uri": dataset.as_uri()}, **asked})["id"])

    def end_of(self, job_id: str) -> str:
        """Wait until a job has ended; answer how."""
        while (state := str(self.ask("GET", f"/v1/jobs/{job_id}")["status"])) not in ENDS:
            pass
        return state

    def n_jobs(self) -> int:
        return len(self.ask("GET", "/v1/jobs?limit=100")["data"])


@dataclass
class Traffic:
    """What went over the wire, and what the browser had to say: errors of scripts, breaches of the policy."""

    addresses: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def listen(self, context: "BrowserContext") -> None:
        context.on("request", self._note_request)
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _note_request(self, request: "Request") -> None:
        self.addresses.append(request.url)
        if request.is_navigation_request():
            self.pages.append(request.url)

    def _note_message(self, message: "ConsoleMessage") -> None:
        is_refused_page = message.location["url"] in self.pages and message.text.startswith(REFUSED)
        if message.type in {"error", "warning"} and not is_refused_page:
            self.complaints.append(message.text)

    def outside(self, origin: str) -> list[str]:
        """List the addresses that are not of an origin."""
        return [address for address in self.addresses if not address.startswith(f"{origin}/")]


@dataclass
class Visitor:
    """Somebody who has opened a browser. `expect` is Playwright's, which waits; `pictures` is for screenshots."""

    page: "Page"
    place: Place
    traffic: Traffic
    expect: "Callable[[Locator], LocatorAssertions]"
    pictures: Path | None

    def open(self, path: str) -> None:
        self.page.goto(self.place.url + path)

    def sees(self, text: str) -> None:
        """Wait until a text can be read."""
        self.expect(self.page.get_by_text(text).first).to_be_visible()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).first.click()

    def sign_in(self, key: str | None = None) -> None:
        self.open("/sign-in")
        self.page.get_by_label("API key").fill(self.place.key if key is None else key)
        self.press("Sign in")

    def input(self, name: str) -> "Locator":
        """Find an input of a form, and unfold the section that it is in."""
        found = self.page.locator(f'[name="{name}"]')
        section = self.page.locator("details", has=found)
        if section.count() and section.get_attribute("open") is None:
            section.locator("summary").click()
        return found

    def drop(self, file: Path) -> None:
        """Drop a file where the form takes one."""
        content = {"name": file.name, "bytes": list(file.read_bytes())}
        self.page.locator("[data-upload]").evaluate(DROP, content)

    def send(self, file: Path) -> None:
        """Choose a file, and wait until it has become the dataset."""
        self.page.get_by_label("Or send a file").set_input_files(file)
        self.sees(f"{file.name} is here")

    def ask_for(self, file: Path, **settings: str) -> None:
        """Fill in the form of a new job; in names of settings two underscores are a dot."""
        self.open("/new")
        self.send(file)
        for name, text in settings.items():
            self.input(name.replace("__", ".")).fill(text)

    def state(self) -> "Locator":
        """Find where the page of a job says its state."""
        return self.page.locator("h1 .state")

    def tab_to(self, wanted: "Locator") -> None:
        """Press Tab until something has the focus."""
        for _ in range(MOST_TABS):
            if wanted.evaluate("element => element === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{MOST_TABS} times Tab did not lead to {wanted}")

    def draw_images(self) -> "Locator":
        """Draw all images, those out of sight too, and answer them."""
        images = self.page.get_by_role("main").locator("img")
        images.evaluate_all(DRAW)
        return images

    def photograph(self, name: str) -> None:
        """Keep a picture of the whole page, where pictures are wanted."""
        if self.pictures:
            self.draw_images()
            self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)
