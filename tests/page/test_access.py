"""Every page under axe, in light and in dark; a picture of each where SCREENSHOTS names a folder."""

from collections.abc import Callable

import pytest

from tests.page.visiting import QUICK, Visitor

pytestmark = [pytest.mark.page, pytest.mark.timeout(1800)]

GRAVE = {"serious", "critical"}


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def look(visit: Callable[..., Visitor], scheme: str) -> Visitor:
    """The owner, whose browser asks for a colour scheme."""
    visitor = visit(color_scheme=scheme)
    visitor.sign_in()
    visitor.expect(visitor.page.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
    return visitor


@pytest.fixture
def examine(scheme: str) -> Callable[[Visitor, str], None]:
    """Let axe look at a page: it finds nothing that is serious. A picture is taken where pictures are wanted."""
    from axe_playwright_python.sync_playwright import Axe

    def look_at(visitor: Visitor, name: str) -> None:
        visitor.photograph(f"{name}-{scheme}")
        found = Axe().run(visitor.page)
        assert [each["id"] for each in found.response["violations"] if each["impact"] in GRAVE] == [], (
            found.generate_report()
        )

    return look_at


def test_axe_finds_nothing_serious_where_a_key_is_asked_for(
    visit: Callable[..., Visitor], examine: Callable[[Visitor, str], None], scheme: str
) -> None:
    visitor = visit(color_scheme=scheme)
    visitor.open("/sign-in")
    examine(visitor, "sign-in")
    visitor.sign_in("ddoq_wrong")
    visitor.expect(visitor.page.get_by_role("alert")).to_be_visible()
    examine(visitor, "sign-in-refused")


def test_axe_finds_nothing_serious_on_the_form_and_the_plan_of_a_new_job(
    look: Visitor, examine: Callable[[Visitor, str], None]
) -> None:
    look.open("/new")
    examine(look, "new")
    look.page.locator("details").evaluate_all("sections => sections.forEach(section => section.open = true)")
    examine(look, "new-unfolded")
    look.press("Start the job")
    look.expect(look.page.get_by_role("alert")).to_be_visible()
    examine(look, "new-refused")
    look.ask_for(look.place.digits)
    look.press("Look at it first")
    look.sees("What the job would be")
    examine(look, "plan")


@pytest.mark.parametrize("page", ["", "/classes/3", "/delete"])
def test_axe_finds_nothing_serious_on_the_pages_of_a_finished_job(
    look: Visitor, examine: Callable[[Visitor, str], None], finished: str, page: str
) -> None:
    look.open(f"/jobs/{finished}{page}")
    look.draw_images()
    examine(look, f"job{page.replace('/', '-')}")


def test_axe_finds_nothing_serious_on_running_and_failed_jobs_and_their_list(
    look: Visitor, examine: Callable[[Visitor, str], None], slow: str
) -> None:
    look.open(f"/jobs/{slow}")
    look.expect(look.page.locator(".stages .running")).to_contain_text("train students")
    examine(look, "job-running")
    look.open("/")
    examine(look, "jobs")
    look.open("/?state=expired")
    examine(look, "jobs-none")


def test_axe_finds_nothing_serious_on_a_failed_job(look: Visitor, examine: Callable[[Visitor, str], None]) -> None:
    job_id = look.place.submit(look.place.small, **{**QUICK, "images_per_class": 100})
    assert look.place.end_of(job_id) == "failed"
    look.open(f"/jobs/{job_id}")
    examine(look, "job-failed")


def test_axe_finds_nothing_serious_on_a_comparison_and_a_refusal(
    look: Visitor, examine: Callable[[Visitor, str], None], finished: str
) -> None:
    other = look.place.submit(look.place.digits, **{**QUICK, "seed": 1})
    assert look.place.end_of(other) == "succeeded"
    look.open(f"/compare?a={finished}&b={other}")
    look.draw_images()
    examine(look, "compare")
    look.open(f"/new?from={finished}")
    examine(look, "new-from")
    look.open("/jobs/job_00000000000000000000000000")
    examine(look, "not-found")


def test_every_page_fits_a_narrow_screen(visit: Callable[..., Visitor], finished: str) -> None:
    visitor = visit(viewport={"width": 360, "height": 800})
    visitor.sign_in()
    pages = {
        "jobs": "/",
        "new": "/new",
        "job": f"/jobs/{finished}",
        "class": f"/jobs/{finished}/classes/3",
        "compare": f"/compare?a={finished}&b={finished}",
    }
    too_wide = []
    for name, path in pages.items():
        visitor.open(path)
        visitor.photograph(f"{name}-narrow")
        too_wide += [name] * visitor.page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert too_wide == []
