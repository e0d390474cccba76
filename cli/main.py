"""The `ddoq` command."""

import click

from cli.bucket import bucket
from cli.completion import completion
from cli.database import db
from cli.doctor import doctor
from cli.exits import MEANINGS, Commands
from cli.here import distill, fit, train, up
from cli.keys import keys
from cli.looking import cancel, delete, list_jobs, retry, show
from cli.submitting import submit
from cli.transfer import download, upload
from cli.watching import watch

COMMANDS = (
    *(up, distill, fit, train),
    *(upload, submit, watch, list_jobs, show, download, cancel, retry, delete),
    *(doctor, keys, db, bucket, completion),
)
EXIT_CODES = "\n".join(("\b", "Exit codes:", *(f"  {code:>3}  {words}" for code, words in MEANINGS.items())))


@click.group(
    cls=Commands,
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
@click.version_option(package_name="ddoq")
def main() -> None:
    """Distil a labelled image dataset into a small, weighted, synthetic one.

    The commands that talk to a service find it by DDOQ_URL and DDOQ_API_KEY, or in the data folder of 'ddoq up'.
    """


if __name__ == "__main__":
    main()
