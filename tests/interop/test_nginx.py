"""Our server behind a real nginx with the sample of packaging/, beside a stand-in Chef server."""

from __future__ import annotations

import http.client
import json
import os
import re
import ssl
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional

import pytest
from feed_reader import FeedReader
from house import ADMIN, ORG, House, open_house
from nginx_process import CHEF_MARK, SAMPLE, ChefStandIn, Nginx, missing, site_values
from raw_server import PATIENCE
from stub_certificates import tls_context

from push_jobs_server.api.jobs import LONGEST_WAIT
from push_jobs_wire.chef_auth import load_private_key, sign, timestamp

pytestmark = pytest.mark.e2e

WHITELIST = {"hello": ["sh", "-c", 'echo "hello from $CHEF_PUSH_NODE_NAME"']}
BEHIND = {"tls.enabled": False, "trusted_proxies": ["127.0.0.1"]}
JOBS = f"/organizations/{ORG}/pushy/jobs"
LIMIT = 1_000_000


class Answer(NamedTuple):
    """What came back."""

    status: int
    kind: str
    body: bytes

    def json(self) -> Any:
        assert self.kind == "application/json", self
        return json.loads(self.body)


class Place:
    """Everything that stands on the machine."""

    def __init__(self, house: House, chef: ChefStandIn, nginx: Nginx) -> None:
        self.house = house
        self.chef = chef
        self.nginx = nginx
        self._context = ssl.create_default_context(cafile=str(house.data / "ca.crt"))
        self._key = load_private_key(house.key_file.read_bytes())

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Optional[Dict[str, str]] = None,
    ) -> Answer:
        """Send a request, signed as the administrator, with its path exactly as it is given."""
        signature = sign(
            method=method,
            target=path,
            body=body,
            user_id=ADMIN,
            timestamp=timestamp(time.time()),
            private_key=self._key,
        )
        return self.send(method, path, body, {**signature, **(headers or {})})

    def send(self, method: str, path: str, body: bytes, headers: Dict[str, str]) -> Answer:
        """Send a request as it is."""
        made = http.client.HTTPSConnection(
            "127.0.0.1", self.nginx.port, timeout=PATIENCE, context=self._context
        )
        with closing(made) as connection:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheader("Content-Type", ""), answer.read())

    def start_job(self, **headers: str) -> str:
        """Start a job by the plain API; its address as the answer has it."""
        body = json.dumps({"command": "hello", "nodes": ["web1"]}).encode()
        answer = self.ask("POST", JOBS, body, {"Content-Type": "application/json", **headers})
        assert answer.status == 201, answer
        return str(answer.json()["uri"])


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    """Without nginx there is nothing to test."""
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """nginx, a server with one agent that knows nginx's address alone, and the stand-in."""
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "house").mkdir()
    with open_house(folder / "house", **BEHIND) as house:
        with closing(ChefStandIn(tls_context(folder))) as chef, closing(
            _nginx(folder, house, house.address, chef.port, folder / "ca.pem")
        ) as nginx:
            house.address = nginx.url
            nginx.start()
            gate = f"until [ -e {house.folder}/gate ]; do sleep 0.05; done"
            house.add_agent("web1", {**WHITELIST, "wait": ["sh", "-c", gate]})
            house.wait_available("web1")
            yield Place(house, chef, nginx)


def _nginx(folder: Path, house: House, push: str, chef_port: int, chef_ca: Path) -> Nginx:
    """The sample with our addresses and certificates."""
    chef = f"https://127.0.0.1:{chef_port}"
    values = site_values(house.data, push.split("//")[1], chef, chef_ca)
    return Nginx(folder / "proxy", values)


def test_our_client_and_agent_work_through_it(place: Place) -> None:
    with place.house.client() as client:
        job_id = client.start_job("hello", ["web1"], capture=True)
        client.wait(job_id, timeout=PATIENCE)
        job = client.job(job_id)
        assert [(node.name, node.status.value) for node in job.nodes] == [("web1", "succeeded")]
        assert client.output(job_id, "web1") == b"hello from web1\n"
        assert client.node("web1").available


def test_events_come_when_they_happen_not_when_a_buffer_is_full(place: Place) -> None:
    job_id = place.house.start_job("wait", "web1")
    with FeedReader(place.house, f"/pushy/job_status_feed/{job_id}") as feed:
        assert (feed.status, feed.answer.getheader("Content-Type")) == (200, "text/event-stream")
        before = [event.name for event in feed.some(4)]
        assert before == ["start", "quorum_vote", "quorum_succeeded", "run_start"]
        assert place.house.job(job_id)["status"] == "running"
        (place.house.folder / "gate").touch()
        assert [event.name for event in feed.rest()] == ["run_complete", "job_complete"]


def test_who_waits_as_long_as_he_may_is_answered_before_nginx_gives_up() -> None:
    text = (SAMPLE / "push-jobs.conf").read_text()
    [seconds] = re.findall(r"(?m)^ *proxy_read_timeout (\d+)s;$", text)
    assert int(seconds) >= LONGEST_WAIT + 20


@pytest.mark.proves("A-5a")
def test_paths_stay_as_they_were_signed(place: Place) -> None:
    for path in (
        f"//organizations///{ORG}//pushy/jobs/",
        f"/organizations/{ORG}/pushy//node_states/",
        f"/organizations/{ORG}/pushy/node_states/web%31",
    ):
        answer = place.ask("GET", path)
        assert answer.status == 200, (path, answer)


@pytest.mark.proves("A-20a")
def test_addresses_in_answers_are_those_of_the_outside(place: Place) -> None:
    uri = place.start_job()
    start = f"{place.nginx.url}{JOBS}/"
    assert uri.startswith(start) and len(uri) == len(start) + 32
    shown = place.ask("GET", uri[len(place.nginx.url) :])
    assert (shown.status, shown.json()["id"]) == (200, uri[-32:])


def test_a_client_cannot_choose_the_addresses_in_answers(place: Place) -> None:
    forged = {"Forwarded-Host": "evil", "Forwarded-Server": "evil", "Forwarded-Proto": "ftp"}
    uri = place.start_job(**{f"X-{name}": text for name, text in forged.items()})
    assert uri.startswith(f"{place.nginx.url}{JOBS}/")


@pytest.mark.proves("A-14a")
@pytest.mark.parametrize("size", [LIMIT + 1, 5 * LIMIT])
def test_bodies_that_are_too_large_get_the_same_answer_in_json(place: Place, size: int) -> None:
    answer = place.ask("POST", JOBS, b" " * size)
    assert answer.status == 413
    assert answer.json() == {"error": f"JSON must be no more than {LIMIT} bytes."}


def test_a_body_of_the_largest_size_gets_to_the_server(place: Place) -> None:
    body = json.dumps({"command": "hello", "nodes": ["web1"]}).encode().ljust(LIMIT)
    assert place.ask("POST", JOBS, body, {"Content-Type": "application/json"}).status == 201


@pytest.mark.parametrize("path", ["/pushy/_status", "//pushy/_status", "/pushy//_status/"])
def test_the_status_needs_no_signature(place: Place, path: str) -> None:
    answer = place.send("GET", path, b"", {})
    assert answer.status == 200 and answer.json()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/organizations/{ORG}/nodes/pushy",
        f"/organizations/{ORG}/pushy-jobs",
        f"/organizations/{ORG}//roles%2fx?y=//z",
        "/organizations/pushy/users",
        "/pushyx",
    ],
)
def test_all_other_paths_reach_the_chef_server_as_they_are(place: Place, path: str) -> None:
    answer = place.ask("GET", path)
    assert answer.body.decode() == f"{CHEF_MARK}: {path}"
    method, seen, headers = place.chef.seen[-1]
    assert (method, seen) == ("GET", path)
    assert headers["Host"] == f"127.0.0.1:{place.nginx.port}"
    assert headers["X-Forwarded-Proto"] == "https"


def test_refusals_of_the_server_come_through_unchanged(place: Place) -> None:
    unknown = place.ask("GET", f"{JOBS}/{'0' * 32}")
    assert unknown.status == 404 and unknown.json()["error"]
    unsigned = place.send("GET", JOBS, b"", {})
    assert unsigned.status == 400 and "X-Ops-UserId" in unsigned.json()["error"][0]


def test_a_server_that_is_away_is_told_in_json(tmp_path: Path, place: Place) -> None:
    away = "http://127.0.0.1:9"  # discard: nobody listens there
    chef_ca = place.house.data / "ca.crt"  # not the one that the Chef server's certificate is of
    with closing(_nginx(tmp_path, place.house, away, place.chef.port, chef_ca)) as nginx:
        nginx.start()
        other = Place(place.house, place.chef, nginx)
        answer = other.ask("GET", JOBS)
        assert (answer.status, "does not answer" in answer.json()["error"][0]) == (502, True)
        known = len(place.chef.seen)
        assert other.ask("GET", "/users").status == 502
        assert len(place.chef.seen) == known
