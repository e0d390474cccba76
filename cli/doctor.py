"""`ddoq doctor`: what is missing for what one wants to run, and how to mend it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from cli.checks import Check, Verdict, check_device, check_extra, check_python, check_room
from cli.exits import Exit
from cli.options import data_option, json_option, tell
from cli.server_checks import check_servers, has_settings
from cli.service_checks import check_service
from cli.words import in_columns

EXTRAS = ("core", "api", "worker", "embedded")
COMPUTING = (None, "core", "worker", "embedded")
SERVING = ("api", "worker")


@click.command()
@click.option(
    "--for",
    "part",
    type=click.Choice(("client", *EXTRAS)),
    help="What has to work here: a client of a service, 'ddoq distill' (core), a part of a service, or 'ddoq up' "
    "(embedded). Without it, everything that is installed and set up is looked at.",
)
@data_option
@json_option
def doctor(part: str | None, data: Path, as_json: bool) -> None:
    """Say what is missing here and how to mend it; exit code 1 if anything is. No secret is printed."""
    found = list(look(part, data))
    is_missing = any(check.verdict == Verdict.MISSING for check in found)
    tell({"checks": found, "is_well": not is_missing}, as_json, in_words(found))
    if is_missing:
        raise click.exceptions.Exit(Exit.REFUSED)


def look(part: str | None, data: Path) -> Iterator[Check]:
    """Look at what a part needs, or at everything that is installed and set up."""
    yield check_python()
    for extra in EXTRAS:
        if part in (None, extra):
            yield check_extra(extra, is_wanted=part == extra)
    if part in COMPUTING:
        yield from check_device()
    if part in (None, "embedded"):
        yield check_room("data folder", data)
    if part == "core":
        yield check_room("this folder", Path())
    if part in SERVING or (part is None and has_settings()):
        jobs = check_extra("jobs", is_wanted=True)
        yield from check_servers() if jobs.verdict == Verdict.OK else [jobs]
    if part in (None, "client"):
        yield from check_service(data, is_wanted=part == "client")


def in_words(checks: Sequence[Check]) -> str:
    """Write a line for each check, and below what is not well how to mend it."""
    rows = [(check.verdict.value, check.subject, check.found) for check in checks]
    lines = in_columns(rows).splitlines()
    mends = [f"\n         {check.mend}" if check.mend else "" for check in checks]
    return "\n".join(f"{line}{mend}" for line, mend in zip(lines, mends, strict=True))
