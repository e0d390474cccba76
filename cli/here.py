"""`ddoq up`, `distill`, `fit` and `train`: what runs on this machine."""

from collections.abc import Sequence
from pathlib import Path

import click

from cli.config_file import read_config
from cli.folder import DEFAULT
from cli.options import FILE, FOLDER, config_argument, json_option, tell
from cli.progress import show_stages
from ddoq.events import Stage
from ddoq.manifests import is_complete


@click.command()
@click.option("--data", type=FOLDER, default=DEFAULT, show_default=True, help="Folder for everything that is kept.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 is any free one.")
@click.option("--root", "roots", type=FOLDER, multiple=True, help="Folder that file:// datasets may be in; repeatable.")
@click.option(
    "--workers", "n_workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Workers to start."
)
def up(data: Path, port: int, roots: tuple[Path, ...], n_workers: int) -> None:
    """Run the whole service here, with its own PostgreSQL, Valkey and S3.

    A server whose address is in the environment is not started: DDOQ_DATABASE_URL, DDOQ_BROKER_URL, DDOQ_S3_ENDPOINT.
    """
    from cli.up import Options
    from cli.up import up as run

    run(Options(data, port, roots, n_workers))


def left_of(stages: Sequence[Stage], folder: Path) -> list[Stage]:
    """List the stages that are not complete in a folder; say which are."""
    complete = [stage for stage in stages if is_complete(folder / stage)]
    if complete:
        click.echo(f"complete in {folder}: {', '.join(complete)}", err=True)
    return [stage for stage in stages if stage not in complete]


@click.command()
@config_argument
@click.argument("folder", type=FOLDER)
@json_option
def distill(config_file: Path, folder: Path, as_json: bool) -> None:
    """Distil without a service, into FOLDER; a second run goes on behind the stages that are complete there.

    CONFIG is a JSON file, or - for what is piped in.
    """
    config = read_config(config_file)
    with show_stages(left_of(config.stages, folder)) as bars:
        from cli.local import distill_here, usage_here  # takes seconds

        distilled = distill_here(config, folder, bars.on_event)
    lines = [f"{each.budget}\n{each.verdict}\n{each.archive}\n{each.report}" for each in distilled]
    tell({"archives": distilled}, as_json, "\n".join([*lines, *usage_here(config, folder)]))


@click.command()
@config_argument
@click.argument("folder", type=FOLDER)
@json_option
def fit(config_file: Path, folder: Path, as_json: bool) -> None:
    """Train the prior of a config (prior.kind "fit") on its dataset; print its diffusers folder, which is in FOLDER.

    A later 'ddoq distill' of this data takes it from the cache (XDG_CACHE_HOME, or ~/.cache) and does not train again.
    """
    config = read_config(config_file)
    with show_stages(left_of(config.stages[: config.stages.index(Stage.QUANTIZE)], folder)) as bars:
        from cli.local import fit_here  # takes seconds

        prior = fit_here(config, folder, bars.on_event)
    tell({"prior": prior}, as_json, str(prior))


@click.command()
@click.argument("archive", type=FILE)
@click.option("--network", help="Name of the network, such as resnet-18; without it, the first of the recipe.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("student.safetensors"),
    show_default=True,
    help="File for the weights.",
)
@click.option("--test", metavar="DATASET", help="Labelled images to test the student on: a path, or a URI.")
@json_option
def train(archive: Path, network: str | None, output: Path, test: str | None, as_json: bool) -> None:
    """Train a student on ARCHIVE by the recipe in it, and write its weights as safetensors.

    An archive holds no test images; what the report in it says of students of this network is printed. With --test the
    student is tested as well: on the test split of DATASET, or on all of it where it has no splits.
    """
    with show_stages([Stage.TRAIN, Stage.EVALUATE] if test else [Stage.TRAIN]) as bars:
        from cli.training import train_here  # takes seconds

        trained = train_here(archive, network, output, test, bars.show)
    tell(trained, as_json, trained.words)
