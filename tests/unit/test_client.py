import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.client import Artifact, Client, ClientError
from cli.files import write_private
from cli.folder import Endpoint, endpoint_file
from cli.main import main
from cli.progress import accuracy_lines
from cli.servers import free_port

CONTENT = b"what the job made"
PROBLEM = {"code": "job.not_found", "detail": "there is no job job_7", "status": 404}


@contextmanager
def server(status: int, body: bytes, sent: list[bytes] | None = None) -> Iterator[str]:
    """Serve one answer to everything: the servers that our own never is. `sent` gets what came in bodies."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            (sent if sent is not None else []).append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def log_request(self, *_: object) -> None:
            return

    with serving(Answer) as url:
        yield url


@contextmanager
def serving(answers: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve what a handler answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), answers) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{found.server_port}"
        finally:
            found.shutdown()
            thread.join()


def artifact(name: str = "archive.zip", content: bytes = CONTENT) -> Artifact:
    return Artifact(name=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def run(*arguments: str, url: str = "") -> tuple[int, str]:
    """Run the command against the service at `url`; answer its exit code and what it wrote."""
    variables = {"DDOQ_URL": url, "DDOQ_API_KEY": "key"} if url else {"DDOQ_URL": None, "DDOQ_API_KEY": None}
    result = CliRunner().invoke(main, arguments, env=variables)
    return result.exit_code, result.output


def test_a_download_lies_at_its_name_below_the_folder(tmp_path: Path) -> None:
    with server(200, CONTENT) as url, Client(url, "key") as client:
        path = client.download("job_7", artifact("plots/accuracy.svg"), tmp_path)
    assert (path, path.read_bytes()) == (tmp_path / "plots" / "accuracy.svg", CONTENT)


def test_a_download_with_another_checksum_is_refused(tmp_path: Path) -> None:
    with (
        server(200, b"something else") as url,
        Client(url, "key") as client,
        pytest.raises(ClientError, match=r"archive\.zip came with sha256"),
    ):
        client.download("job_7", artifact(), tmp_path)


def test_a_download_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    with server(200, b"something else") as url, Client(url, "key") as client, pytest.raises(ClientError):
        client.download("job_7", artifact(), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "plots/../../outside", "..\\outside", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with (
        server(200, CONTENT) as url,
        Client(url, "key") as client,
        pytest.raises(ClientError, match="is not downloaded"),
    ):
        client.download("job_7", artifact(name), tmp_path)


def test_a_refusal_is_told_by_code_and_detail() -> None:
    with server(404, json.dumps(PROBLEM).encode()) as url:
        assert run("watch", "job_7", url=url) == (1, "Error: job.not_found: there is no job job_7\n")


def test_a_request_too_many_is_sent_again_when_the_service_says() -> None:
    limited = json.dumps({"code": "rate.limited", "detail": "more than 600 reads came within a minute"}).encode()
    answers = [(429, limited), (429, limited), (404, json.dumps(PROBLEM).encode())]

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, *_: object) -> None:
            return

    with serving(Answer) as url:
        assert run("watch", "job_7", url=url) == (1, "Error: job.not_found: there is no job job_7\n")
    assert answers == []


def test_a_server_that_is_not_ours_is_told() -> None:
    with server(200, b"<html>") as url:
        code, output = run("watch", "job_7", url=url)
    assert (code, "is it ddoq?" in output) == (1, True)


def test_an_error_of_a_proxy_is_told_by_its_status() -> None:
    with server(502, b"<html>") as url:
        code, output = run("watch", "job_7", url=url)
    assert (code, "answered 502" in output) == (1, True)


def test_a_service_that_does_not_answer_is_told() -> None:
    code, output = run("watch", "job_7", url=f"http://127.0.0.1:{free_port()}")
    assert (code, "is the service running?" in output) == (1, True)


def test_a_folder_without_a_service_is_told(tmp_path: Path) -> None:
    code, output = run("watch", "job_7", "--data", str(tmp_path))
    assert (code, "start 'ddoq up'" in output) == (1, True)


def test_the_service_of_a_data_folder_is_found(tmp_path: Path) -> None:
    write_private(tmp_path / "api-key", "key")
    with server(404, json.dumps(PROBLEM).encode()) as url:
        write_private(endpoint_file(tmp_path), Endpoint(url=url, key_file=tmp_path / "api-key").model_dump_json())
        assert run("watch", "job_7", "--data", str(tmp_path))[1].startswith("Error: job.not_found")


def test_a_job_is_submitted_with_how_it_is_to_be_run(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"dataset": {"uri": "file:///d.zip"}}')
    answer = {"id": "job_7", "status": "queued", "stages": [], "error": None, "figures": {}}
    sent: list[bytes] = []
    with server(202, json.dumps(answer).encode(), sent) as url:
        code, output = run("submit", str(file), "--priority", "high", "--timeout", "90", url=url)
    body = json.loads(sent[0])
    assert (code, output) == (0, "job_7\n")
    assert body["job"] == {"priority": "high", "queue_deadline_s": None, "timeout_s": 90, "labels": {}}
    assert body["dataset"]["uri"] == "file:///d.zip"


@pytest.mark.parametrize("command", [["submit"], ["distill"]])
def test_a_config_that_is_none_is_refused_with_every_fault(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"dataset": {"uri": "file:///d.zip"}, "images_per_class": 0, "colour": "red"}')
    folder = [str(tmp_path / "out")] if command == ["distill"] else []
    code, output = run(*command, str(file), *folder)
    assert (code, "images_per_class" in output, "colour" in output) == (2, True, True)


def test_what_the_algorithm_refuses_is_told_by_its_code(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"dataset": {"uri": "file:///there/is/no/such.zip"}}')
    code, output = run("distill", str(file), str(tmp_path / "out"))
    assert (code, "Error: dataset.not_found: " in output) == (1, True)


def test_accuracies_are_listed_the_best_first() -> None:
    figures = {
        "accuracy.random real.mean": 0.7,
        "accuracy.random real.deviation": 0.02,
        "accuracy.distilled.mean": 0.85,
        "accuracy.distilled.deviation": 0.01,
        "distortion": 3.0,
    }
    assert [line.split()[0] for line in accuracy_lines(figures).splitlines()] == ["contender", "distilled", "random"]


def test_where_nothing_was_evaluated_that_is_said() -> None:
    assert accuracy_lines({"distortion": 3.0}) == "no accuracies: evaluation is none, so no student was trained"


def test_accuracies_of_a_sweep_are_listed_by_budget() -> None:
    figures = {
        f"{budget}.accuracy.{contender}.{value}": 0.5
        for budget in ("ipc-10", "ipc-50")
        for contender in ("distilled", "random real")
        for value in ("mean", "deviation")
    }
    heads = [block.split()[0] for block in accuracy_lines(figures).split("\n\n")]
    assert heads == ["ipc-10", "ipc-50"]


def test_accuracies_of_several_networks_are_listed_by_network() -> None:
    figures = {
        f"ipc-10.{place}.distilled.{value}": 0.5
        for place in ("accuracy", "accuracy_by_network.convnet-3", "accuracy_by_network.resnet-18")
        for value in ("mean", "deviation")
    }
    heads = [block.split("  ")[0] for block in accuracy_lines(figures).split("\n\n")]
    assert heads == ["ipc-10 convnet-3", "ipc-10 resnet-18"]
