"""``push-jobs-server status`` against servers that answer well, badly, or not at all."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from fake_serf import FakeSerf
from server_commands import HOST, Commands, copy_of

from push_jobs_server import data, settings
from push_jobs_server.serf_records import NodeStatusSeen
from push_jobs_server.store import Store

ANSWER = {
    "status": "it's alive",
    "incarnation_id": "6e0f6a8c",
    "node_fsm_count": 2,
    "job_processes": [],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "data"
    plan = data.Plan(folder, (HOST,), "acme", "alice")
    data.init(plan, time.time())
    return folder


@pytest.fixture
def run(tmp_path: Path, template: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    return Commands(copy_of(template, tmp_path / "data"), capsys)


@contextmanager
def serving(folder: Path, status: int, body: bytes) -> Iterator[int]:
    """A TLS server with the certificate of ``folder`` that answers one route; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/pushy/_status"
            self.send_response(status if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, *_args: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _note(run: Commands, port: int) -> None:
    addresses = {"http": f"https://0.0.0.0:{port}"}
    (run.data_dir / "run" / "addresses.json").write_text(json.dumps(addresses))
    (run.data_dir / "run" / "server.pid").write_text("4711\n")


def test_a_running_server_is_asked_where_it_really_listens(run: Commands) -> None:
    with serving(run.data_dir, 200, json.dumps(ANSWER).encode("ascii")) as port:
        _note(run, port)
        assert json.loads(run.good("status", "--format", "json")) == {
            "url": f"https://127.0.0.1:{port}",
            "status": "it's alive",
            "pid": 4711,
            "incarnation_id": "6e0f6a8c",
            "nodes_online": 2,
            "serf": None,
        }
        assert f"https://127.0.0.1:{port}  it's alive  4711  6e0f6a8c" in run.good("status")


def test_nodes_over_serf_are_counted_and_the_agent_is_tried(run: Commands) -> None:
    agent = FakeSerf()
    host, serf_port = agent.address
    (run.data_dir / "settings.yml").write_text(
        f"serf: {{organization: acme, address: '{host}:{serf_port}'}}\n"
    )
    database = Store(settings.load(run.data_dir)["database.url"])
    seen = [("a", 1, "up"), ("b", 1, "up"), ("b", 2, "down"), ("c", 1, "new"), ("d", 1, "up")]
    database.write([NodeStatusSeen("acme", *each, 1000.0) for each in seen])
    database.write([NodeStatusSeen("other", "e", 1, "up", 1000.0)])
    database.close()
    expected: Dict[str, Any] = {
        "organization": "acme",
        "nodes_up": 2,
        "agent": f"{host}:{serf_port}",
    }
    with serving(run.data_dir, 200, json.dumps(ANSWER).encode("ascii")) as port:
        _note(run, port)
        shown = json.loads(run.good("status", "--format", "json"))
        assert shown["serf"] == {**expected, "agent_problem": None}
        head, row = run.good("status").splitlines()
        assert head.endswith("NODES ONLINE  UP OVER SERF  SERF AGENT")
        assert row.split()[-4:] == ["2", "2", f"{host}:{serf_port}:", "reached"]
        agent.close()
        shown = json.loads(run.good("status", "--format", "json"))
        assert shown["serf"] == {**expected, "agent_problem": "Connection refused"}
        assert run.good("status").endswith(f"{host}:{serf_port}: Connection refused\n")
        (run.data_dir / "push-jobs.db").unlink()
        assert json.loads(run.good("status", "--format", "json"))["serf"]["nodes_up"] is None


def test_without_a_note_the_settings_tell_where(run: Commands) -> None:
    with serving(run.data_dir, 200, json.dumps(ANSWER).encode("ascii")) as port:
        text = f"http: {{host: localhost, port: {port}}}\n"
        (run.data_dir / "settings.yml").write_text(text)
        shown = json.loads(run.good("status", "--format", "json"))
    assert (shown["url"], shown["pid"]) == (f"https://localhost:{port}", None)


def test_nobody_there_is_exit_8_with_address_and_reason(run: Commands) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        _note(run, port)
        found = run.bad("status", code=8)
    assert found == (
        f"cannot reach the server at https://127.0.0.1:{port} (process 4711 is noted as the "
        "server): Connection refused"
    )


def test_a_server_that_never_ran_on_port_0_is_exit_8(run: Commands) -> None:
    (run.data_dir / "settings.yml").write_text("http: {port: 0}\n")
    assert "does not run" in run.bad("status", code=8)


def test_a_server_of_another_authority_is_not_believed(run: Commands, tmp_path: Path) -> None:
    other = tmp_path / "other"
    data.init(data.Plan(other, (HOST,), "acme", "alice"), time.time())
    with serving(other, 200, json.dumps(ANSWER).encode("ascii")) as port:
        _note(run, port)
        assert "its certificate was not signed by our CA" in run.bad("status", code=8)


@pytest.mark.parametrize(
    "status, body, reason",
    [
        (503, b"{}", "it answers with status 503"),
        (200, b"<html>", "what answers there is no push-jobs server"),
        (200, b"[]", "what answers there is no push-jobs server"),
    ],
)
def test_another_answer_is_exit_8(run: Commands, status: int, body: bytes, reason: str) -> None:
    with serving(run.data_dir, status, body) as port:
        _note(run, port)
        assert run.bad("status", code=8).endswith(reason)


def test_a_note_that_is_broken_is_not_trusted(run: Commands) -> None:
    (run.data_dir / "settings.yml").write_text("http: {port: 0}\n")
    for text in ("", "[]", '{"http": 5}', '{"http": "https://x:99999999"}'):
        (run.data_dir / "run" / "addresses.json").write_text(text)
        (run.data_dir / "run" / "server.pid").write_text("x")
        assert "does not run" in run.bad("status", code=8)
