"""A real server and an old client, which the tests speak for: the first part of Annex B."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from house import House, open_house
from old_client import OldClient

from push_jobs_wire import framing
from push_jobs_wire.messages import STREAMS

pytestmark = pytest.mark.e2e

INTERVAL = 10.0
Join = Callable[[str], OldClient]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    with open_house(folder, heartbeat_interval=INTERVAL) as house:
        yield house


@pytest.fixture
def node(house: House) -> Iterator[Join]:
    """Makes nodes; the test joins them."""
    made: List[OldClient] = []

    def make(name: str) -> OldClient:
        made.append(OldClient(house, name))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.proves("P-2a", "P-2b")
def test_heartbeats_come_in_clear_with_an_rsa_signature_and_the_incarnation(
    house: House, node: Join
) -> None:
    client = node("listener")
    client.fetch()
    assert house.stop_server() == 0
    beats = client.listen()
    house.start_server()
    listening = time.monotonic()
    client.fetch()
    assert beats.poll(int(INTERVAL * 1000)), "no heartbeat"
    header, body = beats.recv_multipart()
    assert time.monotonic() - listening < INTERVAL / 2
    beats.close(linger=0)
    assert header.startswith(b"Version:2.0;SigningMethod:rsa2048_sha1;Signature:")
    framing.check_rsa(*client.numbers(), framing.parse_header(header), body)
    fields = json.loads(body)
    assert fields["incarnation_id"] == client.settings["incarnation_id"]
    assert (fields["type"], fields["sequence"]) == ("heartbeat", 0)


@pytest.mark.proves("P-3a", "P-3b", "P-6")
def test_each_first_message_is_answered_within_a_second(node: Join) -> None:
    client = node("reconnects")
    client.fetch()
    for answer in ("abort", "ack", "ack"):
        client.connect()
        client.beat()
        assert client.hear(seconds=1.0)["type"] == answer
        if answer == "abort":
            client.say("aborted")


@pytest.mark.proves("P-5a", "P-5b")
def test_a_job_goes_on_over_a_new_connection_whose_sequence_starts_anew(
    house: House, node: Join
) -> None:
    client = node("again")
    client.join()
    job_id = house.start_job("true", "again")
    client.run(job_id)
    for _ in range(2):
        client.connect()
        client.beat(job_id, "running")
        assert client.hear()["type"] == "ack"
    client.say("succeeded", job_id)
    assert house.wait_job(job_id)["status"] == "complete"
    client.beat(None)
    client.say("aborted", None)
    client.say("aborted", job_id)
    house.wait_available("again")


OUTPUTS: List[Dict[str, Any]] = [
    {},
    {"stdout": None, "stderr": None},
    {"stdout": "half\n"},
    {"stderr": "half\n"},
]


@pytest.mark.proves("P-5c")
def test_results_may_come_without_output_or_with_one_channel(house: House, node: Join) -> None:
    client = node("quiet")
    client.join()
    for output in OUTPUTS:
        assert stored_output(house, client, output) == (None, None)
    whole = {"stdout": "out\n", "stderr": ""}
    assert stored_output(house, client, whole) == (b"out\n", b"")


def stored_output(
    house: House, client: OldClient, output: Dict[str, Any]
) -> Tuple[Optional[bytes], Optional[bytes]]:
    job_id = house.start_job("true", client.name, "--capture")
    client.run(job_id)
    client.say("succeeded", job_id, **output)
    (ended,) = house.wait_job(job_id)["nodes"]
    assert ended["status"] == "succeeded"
    with house.client() as reader:
        stdout, stderr = (reader.output(job_id, client.name, each) for each in STREAMS)
    return stdout, stderr


@pytest.mark.proves("P-7a")
def test_a_node_that_is_idle_twice_lost_its_job(house: House, node: Join) -> None:
    client = node("forgets")
    client.join()
    job_id = house.start_job("true", "forgets")
    client.run(job_id)
    client.beat()
    client.beat(job_id, "running")
    client.beat()
    assert house.job(job_id)["status"] == "running"
    client.beat()
    (ended,) = house.wait_job(job_id)["nodes"]
    assert ended["status"] == "crashed" and "idle" in ended["reason"]


@pytest.mark.proves("P-7b")
def test_a_node_that_runs_for_ever_is_stopped_by_the_time_limit(house: House, node: Join) -> None:
    client = node("hangs")
    client.join()
    job_id = house.start_job("true", "hangs", "--timeout", "1")
    client.run(job_id)
    client.beat(job_id, "running")
    assert client.hear()["type"] == "abort"
    assert house.wait_job(job_id)["status"] == "timed_out"
    client.say("aborted", job_id)
    house.wait_available("hangs")
