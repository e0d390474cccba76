"""What the command says and how it ends, against servers that answer as told."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.exits import MEANINGS, Exit
from cli.files import write_private
from cli.folder import Endpoint, endpoint_file
from cli.main import main
from cli.servers import free_port
from tests.web import Site, serve

JOB = {
    "id": "job_7",
    "status": "succeeded",
    "stage": "package",
    "created_at": "2026-01-01T12:00:00Z",
    "started_at": "2026-01-01T12:00:01Z",
    "finished_at": "2026-01-01T12:03:12Z",
    "labels": {"team": "vision"},
    "config": {"dataset": {"uri": "s3://datasets/flowers.zip"}},
    "stages": [{"stage": "read", "status": "done", "done": 30, "total": 30, "seconds": 0.5}],
    "figures": {"accuracy.distilled.mean": 0.9, "accuracy.distilled.deviation": 0.01},
}
FAILURE = {
    "code": "dataset.bad_images",
    "message": "9 of 30 images do not decode",
    "stage": "read",
    "hint": "Mend them.",
}
CONFIG = {"dataset": {"uri": "file:///d.zip"}}


def run(*arguments: str, url: str = "", stdin: str = "") -> Result:
    """Run the command against the service at `url`."""
    variables = {"DDOQ_URL": url, "DDOQ_API_KEY": "key"} if url else {"DDOQ_URL": None, "DDOQ_API_KEY": None}
    return CliRunner().invoke(main, arguments, input=stdin, env=variables)


def put_job(site: Site, **changes: object) -> None:
    site.put("/v1/jobs/job_7", json.dumps({**JOB, **changes}).encode())
    site.put("/v1/jobs/job_7/artifacts", b'{"data": []}')


def refuse(site: Site, status: int, code: str, hint: str = "") -> None:
    problem = {"code": code, "detail": "it is as it is", "status": status, "hint": hint}
    site.put("/v1/jobs/job_7", json.dumps(problem).encode(), status=status)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "job.not_found", Exit.NOT_FOUND),
        (410, "job.deleted", Exit.NOT_FOUND),
        (401, "auth.invalid_key", Exit.KEY_REJECTED),
        (403, "auth.scope", Exit.KEY_REJECTED),
        (422, "config.invalid", Exit.USAGE),
        (422, "dataset.not_found", Exit.REFUSED),
        (409, "job.ended", Exit.REFUSED),
    ],
)
def test_a_refusal_ends_with_the_exit_code_of_its_kind(status: int, code: str, expected: Exit) -> None:
    with serve() as site:
        refuse(site, status, code)
        assert run("show", "job_7", url=site.url).exit_code == expected


def test_a_refusal_is_a_sentence_behind_its_code_and_below_it_what_to_do() -> None:
    with serve() as site:
        refuse(site, 404, "job.not_found", "Check the id.")
        ended = run("show", "job_7", url=site.url)
    assert (ended.stdout, ended.stderr) == ("", "Error: job.not_found: it is as it is\nHint: Check the id.\n")


def test_a_server_that_is_not_ours_is_told() -> None:
    with serve() as site:
        site.put("/v1/jobs/job_7", b"<html>")
        ended = run("show", "job_7", url=site.url)
    assert (ended.exit_code, "is it ddoq?" in ended.stderr) == (Exit.NO_ANSWER, True)


def test_a_service_that_does_not_answer_is_told() -> None:
    ended = run("show", "job_7", url=f"http://127.0.0.1:{free_port()}")
    assert (ended.exit_code, "is the service running?" in ended.stderr) == (Exit.NO_ANSWER, True)


def test_a_folder_without_a_service_is_told(tmp_path: Path) -> None:
    ended = run("show", "job_7", "--data", str(tmp_path))
    assert (ended.exit_code, "start 'ddoq up'" in ended.stderr) == (Exit.NO_ANSWER, True)


def test_a_url_without_a_key_is_told() -> None:
    ended = CliRunner().invoke(main, ["jobs"], env={"DDOQ_URL": "http://127.0.0.1:1", "DDOQ_API_KEY": None})
    assert (ended.exit_code, "DDOQ_API_KEY" in ended.stderr) == (Exit.USAGE, True)


def test_the_service_of_a_data_folder_is_found(tmp_path: Path) -> None:
    write_private(tmp_path / "api-key", "key")
    with serve() as site:
        put_job(site)
        place = Endpoint(url=site.url, key_file=tmp_path / "api-key").model_dump_json()
        write_private(endpoint_file(tmp_path), place)
        assert run("show", "job_7", "--data", str(tmp_path)).exit_code == Exit.DONE


@pytest.mark.parametrize("command", [["submit"], ["distill"], ["fit"]])
def test_a_config_that_is_none_is_refused_with_every_fault(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"dataset": {"uri": "file:///d.zip"}, "images_per_class": 0, "colour": "red"}')
    folder = [] if command == ["submit"] else [str(tmp_path / "out")]
    ended = run(*command, str(file), *folder)
    told = "images_per_class" in ended.stderr, "colour" in ended.stderr
    assert (ended.exit_code, told) == (Exit.USAGE, (True, True))


def test_a_config_that_is_piped_in_is_read() -> None:
    ended = run("submit", "-", stdin='{"colour": "red"}')
    assert (ended.exit_code, "what came in is not a config" in ended.stderr) == (Exit.USAGE, True)


def test_what_the_algorithm_refuses_is_told_by_its_code(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"dataset": {"uri": "file:///there/is/no/such.zip"}}')
    ended = run("distill", str(file), str(tmp_path / "out"))
    assert (ended.exit_code, ended.stderr.startswith("Error: dataset.not_found: ")) == (Exit.REFUSED, True)


def test_a_folder_that_cannot_be_written_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    with serve() as site:
        artifact = {"name": "a.txt", "size_bytes": 1, "sha256": "0" * 64}
        site.put("/v1/jobs/job_7/artifacts", json.dumps({"data": [artifact]}).encode())
        ended = run("download", "job_7", "-o", str(tmp_path / "taken" / "below"), url=site.url)
    assert (ended.exit_code, ended.stderr.startswith("Error: ")) == (Exit.REFUSED, True)
    assert str(tmp_path / "taken") in ended.stderr


@pytest.mark.parametrize("label", ["team", "=vision"])
@pytest.mark.parametrize("command", [["submit", "-"], ["jobs"]])
def test_a_label_without_name_and_value_is_refused(command: list[str], label: str) -> None:
    ended = run(*command, "--label", label, stdin=json.dumps(CONFIG))
    assert (ended.exit_code, f"{label!r} is not NAME=VALUE" in ended.stderr) == (Exit.USAGE, True)


def test_a_label_that_no_job_can_have_is_refused_before_anything_is_sent() -> None:
    ended = run("submit", "-", "--label", "team=two words", stdin=json.dumps(CONFIG))
    assert (ended.exit_code, "--label" in ended.stderr) == (Exit.USAGE, True)


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        ("succeeded", None, Exit.DONE),
        ("failed", FAILURE, Exit.JOB_FAILED),
        ("cancelled", None, Exit.JOB_STOPPED),
        ("expired", {**FAILURE, "code": "job.queue_deadline"}, Exit.JOB_STOPPED),
    ],
)
def test_watching_ends_with_the_exit_code_of_the_job(status: str, error: object, expected: Exit) -> None:
    with serve() as site:
        put_job(site, status=status, error=error)
        assert run("watch", "job_7", url=site.url).exit_code == expected


def test_a_job_that_failed_is_told_by_its_sentence_and_hint() -> None:
    with serve() as site:
        put_job(site, status="failed", error=FAILURE)
        told = run("watch", "job_7", url=site.url).stderr
    assert told.endswith("Error: dataset.bad_images: 9 of 30 images do not decode\nHint: Mend them.\n")


def test_watching_without_a_terminal_writes_plain_lines_to_stderr() -> None:
    with serve() as site:
        put_job(site)
        ended = run("watch", "job_7", url=site.url)
    assert ended.stderr == "read begins, 30 to do\nread done\n"
    assert ended.stdout.splitlines()[0].split() == ["contender", "accuracy", "in", "%"]


def test_watching_for_a_program_prints_a_job_a_line() -> None:
    with serve() as site:
        put_job(site, status="failed", error=FAILURE)
        ended = run("watch", "job_7", "--json", url=site.url)
    (line,) = ended.stdout.splitlines()
    assert (ended.exit_code, json.loads(line)["error"]["code"]) == (Exit.JOB_FAILED, "dataset.bad_images")


def test_a_job_is_shown_to_programs_with_its_files() -> None:
    with serve() as site:
        put_job(site)
        shown = json.loads(run("show", "job_7", "--json", url=site.url).stdout)
    assert (shown["id"], shown["labels"], shown["artifacts"]) == ("job_7", {"team": "vision"}, [])


def test_a_job_is_shown_to_people_with_the_answer_first() -> None:
    with serve() as site:
        put_job(site)
        lines = run("show", "job_7", url=site.url).stdout.splitlines()
    assert lines[0] == "job_7 succeeded 3 min 12 s after it was sent"


def test_jobs_are_asked_for_by_state_and_label() -> None:
    with serve() as site:
        site.find = lambda path: site.pages["/v1/jobs"] if path.startswith("/v1/jobs?") else None
        site.put("/v1/jobs", json.dumps({"data": [JOB], "next_cursor": None}).encode())
        asked = ("jobs", "--status", "running", "--label", "team=vision", "--limit", "5")
        table = run(*asked, url=site.url).stdout.splitlines()
        ((path, _),) = site.asked
    assert path == "/v1/jobs?state=running&label=team%3Avision&limit=5"
    created = f"{datetime(2026, 1, 1, 12, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M}"
    assert table[1].split("  ") == ["job_7", "succeeded", "package", created, "team=vision"]


def test_a_job_without_files_cannot_be_downloaded(tmp_path: Path) -> None:
    with serve() as site:
        put_job(site, status="running")
        ended = run("download", "job_7", "-o", str(tmp_path), url=site.url)
    assert (ended.exit_code, "is running and has no files" in ended.stderr) == (Exit.NOT_FOUND, True)


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_each_shell_gets_a_script_that_completes_ddoq(shell: str) -> None:
    ended = run("completion", shell)
    assert (ended.exit_code, f"_DDOQ_COMPLETE={shell}_complete" in ended.stdout) == (Exit.DONE, True)


def test_a_word_that_was_begun_is_completed() -> None:
    variables = {"_DDOQ_COMPLETE": "bash_complete", "COMP_WORDS": "ddoq comp", "COMP_CWORD": "1"}
    ended = CliRunner().invoke(main, [], prog_name="ddoq", env=variables)
    assert ended.stdout == "plain,completion\n"


@pytest.mark.parametrize("code", Exit)
def test_every_exit_code_is_explained_by_help(code: Exit) -> None:
    lines = [line.strip() for line in run("--help").stdout.splitlines()]
    assert f"{code.value}  {MEANINGS[code]}" in lines


@pytest.mark.parametrize("command", [["db", "check"], ["db", "upgrade"], ["keys", "create", "ann"]])
def test_an_operators_command_without_settings_names_what_is_missing(command: list[str]) -> None:
    nothing = dict.fromkeys(("DDOQ_DATABASE_URL", "DDOQ_S3_BUCKET", "DDOQ_KEY_PEPPER"))
    ended = CliRunner().invoke(main, command, env=nothing)
    assert (ended.exit_code, "DDOQ_DATABASE_URL: Field required" in ended.stderr) == (Exit.USAGE, True)


SERVED = {
    "DDOQ_BROKER_URL": "redis://nowhere",
    "DDOQ_S3_BUCKET": "ddoq",
    "DDOQ_S3_ACCESS_KEY": "access",
    "DDOQ_S3_SECRET_KEY": "secret",
    "DDOQ_KEY_PEPPER": "a pepper for the tests",
}


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    url = f"postgresql://ddoq:terribly-secret@127.0.0.1:{free_port()}/ddoq"
    ended = CliRunner().invoke(main, ["db", "check"], env={**SERVED, "DDOQ_DATABASE_URL": url})
    assert (ended.exit_code, "the database does not answer" in ended.stderr) == (Exit.NO_ANSWER, True)
    assert "terribly-secret" not in ended.output
