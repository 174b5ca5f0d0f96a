"""Reports on their way: signatures, kept connections, TLS, proxies, answers, threads."""

from __future__ import annotations

import select
import time
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from report_server import ReportServer, TunnelProxy
from stub_certificates import pem_of, tls_context, write_private
from waiting import wait_until

from push_jobs_agent.actions import Answer, Put
from push_jobs_agent.config import Config, load
from push_jobs_agent.reporter import MOST_THREADS, Reporter
from push_jobs_wire import chef_auth

PATH = "/shovey/jobs/1c29a55f-be32-4ea0-a302-bae080ab6f83/web1"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[ReportServer]:
    made = ReportServer()
    yield made
    made.close()


def settings(folder: Path, url: str, **changes: Any) -> Config:
    if not (folder / "client.pem").exists():
        write_private(folder / "client.pem", pem_of(KEY))
    own = {
        "shovey_url": url,
        "sign_pub_key": "/x",
        "node_name": "web1",
        "client_key": str(folder / "client.pem"),
        "trusted_certs_dir": str(folder / "certs"),
    }
    return load(None, {**own, **changes}, "/nowhere")


def answers(reporter: Reporter, count: int) -> List[Answer]:
    found: List[Answer] = []

    def complete() -> bool:
        found.extend(reporter.take())
        return len(found) >= count

    wait_until(complete, "answers")
    return found


def put(number: int = 1, body: bytes = b'{"status":"running"}') -> Put:
    return Put(number, "job", PATH, body)


def one(config: Config, count: int = 1) -> List[Answer]:
    reporter = Reporter(config)
    try:
        found: List[Answer] = []
        for number in range(count):
            reporter.put(put(number))
            found += answers(reporter, 1)
        return found
    finally:
        reporter.close(5.0)


@pytest.mark.proves("G-1")
@pytest.mark.parametrize("base", ["", "/", "/organizations/acme/"])
def test_a_report_is_signed_by_the_node(server: ReportServer, tmp_path: Path, base: str) -> None:
    server.headers = {"X-Goiardi": "yes"}
    (answer,) = one(settings(tmp_path, server.url + base))
    assert (answer.status, answer.goiardi, answer.problem) == (200, True, "")
    (report,) = server.reports
    assert report.target == base.rstrip("/") + PATH
    claim = chef_auth.read_claim(report.headers, time.time())
    assert (claim.user_id, claim.version, claim.server_api_version) == ("web1", "1.3", "1")
    chef_auth.verify(
        claim,
        method="PUT",
        target=report.target,
        body=report.body,
        public_keys=[KEY.public_key()],
    )
    assert report.headers["Content-Type"] == "application/json"


def test_a_connection_is_kept(server: ReportServer, tmp_path: Path) -> None:
    assert [answer.status for answer in one(settings(tmp_path, server.url), 3)] == [200] * 3
    assert len({report.connection for report in server.reports}) == 1


def test_a_connection_that_was_closed_meanwhile_is_no_failure(
    server: ReportServer, tmp_path: Path
) -> None:
    server.hang_up = True
    assert [answer.status for answer in one(settings(tmp_path, server.url), 3)] == [200] * 3
    assert len({report.connection for report in server.reports}) == 3


@pytest.mark.parametrize("status", [302, 400, 404, 409, 500, 503])
def test_other_answers(server: ReportServer, tmp_path: Path, status: int) -> None:
    server.status = status
    (answer,) = one(settings(tmp_path, server.url))
    assert (answer.status, answer.problem) == (status, f"status {status}: {{}}")
    assert not answer.goiardi


@pytest.mark.parametrize(
    ("status", "body", "unknown"),
    [
        (404, b'{"error":["shovey job 1c29a55f not found"]}', True),
        (404, b'{"error":["run 1c29a55f for node web1 not found"]}', True),
        (404, b'{"error":["sql: no rows in result set"]}', True),
        (503, b'{"error":["shovey job 1c29a55f not found"]}', False),
        (404, b'{"error":["organization acme not found"]}', False),
        (404, b'{"error":[404]}', False),
        (404, b'{"error":[]}', False),
        (404, b'["shovey job 1c29a55f not found"]', False),
        (404, b"<html>shovey job 1c29a55f not found</html>", False),
        (404, b"", False),
    ],
)
def test_only_the_api_itself_says_that_a_run_is_unknown(
    server: ReportServer, tmp_path: Path, status: int, body: bytes, unknown: bool
) -> None:
    server.status, server.answer = status, body
    (answer,) = one(settings(tmp_path, server.url))
    assert answer.unknown is unknown


def test_no_server_and_no_key(server: ReportServer, tmp_path: Path) -> None:
    (answer,) = one(settings(tmp_path, "http://127.0.0.1:1"))
    assert (answer.status, answer.problem) == (0, "Connection refused")
    (answer,) = one(settings(tmp_path, server.url, client_key="/no/such.pem"))
    assert (answer.status, answer.problem) == (0, "No such file or directory")
    assert server.reports == []


def test_runs_do_not_wait_for_each_other(server: ReportServer, tmp_path: Path) -> None:
    reporter = Reporter(settings(tmp_path, server.url))
    server.gate.clear()
    for number in range(3 * MOST_THREADS):
        reporter.put(put(number))
    wait_until(lambda: len(server.reports) == MOST_THREADS, "all threads at work")
    server.gate.set()
    assert select.select([reporter.fd], [], [], 5.0)[0]
    found = answers(reporter, 3 * MOST_THREADS)
    assert sorted(answer.put.number for answer in found) == list(range(3 * MOST_THREADS))
    reporter.close(5.0)


def test_a_reload_counts_for_the_next_report(server: ReportServer, tmp_path: Path) -> None:
    other = ReportServer()
    reporter = Reporter(settings(tmp_path, server.url))
    try:
        reporter.put(put())
        answers(reporter, 1)
        reporter.config = settings(tmp_path, other.url)
        reporter.put(put())
        answers(reporter, 1)
        assert (len(server.reports), len(other.reports)) == (1, 1)
    finally:
        reporter.close(5.0)
        other.close()


@pytest.fixture
def safe(tmp_path: Path) -> Iterator[ReportServer]:
    made = ReportServer(tls_context(tmp_path))
    yield made
    made.close()


def test_certificates_are_verified(safe: ReportServer, tmp_path: Path) -> None:
    (answer,) = one(settings(tmp_path, safe.url))
    assert answer.status == 0
    assert answer.problem.startswith(f"the certificate of {safe.url} is not trusted: ")
    assert answer.problem.endswith("(set ca_file to its CA)")
    assert one(settings(tmp_path, safe.url, ca_file=str(tmp_path / "ca.pem")))[0].status == 200
    (tmp_path / "certs").mkdir()
    (tmp_path / "certs" / "ca.crt").write_bytes((tmp_path / "ca.pem").read_bytes())
    assert one(settings(tmp_path, safe.url))[0].status == 200


def test_a_ca_file_that_does_not_fit_is_named(safe: ReportServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    tls_context(tmp_path / "other")
    wrong = str(tmp_path / "other" / "ca.pem")
    (answer,) = one(settings(tmp_path, safe.url, ca_file=wrong))
    assert answer.problem.endswith(f"(ca_file is {wrong}: is that its CA?)")


def test_https_goes_through_a_proxy(safe: ReportServer, tmp_path: Path) -> None:
    proxy = TunnelProxy()
    trust = str(tmp_path / "ca.pem")
    try:
        config = settings(tmp_path, safe.url, ca_file=trust, https_proxy=proxy.url)
        assert one(config)[0].status == 200
        assert proxy.asked[0].startswith(f"CONNECT 127.0.0.1:{safe.port} HTTP/1.")
        assert "Proxy-Authorization: Basic dXNlcjpwQHNz" in proxy.asked[0]
        around = settings(
            tmp_path, safe.url, ca_file=trust, https_proxy=proxy.url, no_proxy="127.0.0.1"
        )
        assert one(around)[0].status == 200 and len(proxy.asked) == 1
    finally:
        proxy.close()


def test_http_goes_through_a_proxy(server: ReportServer, tmp_path: Path) -> None:
    config = settings(tmp_path, "http://goiardi.example.com:4545", http_proxy=server.url)
    assert one(config)[0].status == 200
    assert server.reports[0].target == f"http://goiardi.example.com:4545{PATH}"
    assert server.reports[0].headers["Host"] == "goiardi.example.com:4545"
