"""Bad input and bad surroundings of a real server: a clear answer, and nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Dict, Iterator, List
from urllib.parse import urlsplit

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from house import ADMIN, ORG, House, open_house, run, server_words
from waiting import wait_until

from push_jobs import Client
from push_jobs.errors import ApiError
from push_jobs_wire import chef_auth

pytestmark = pytest.mark.e2e

JOBS = f"/organizations/{ORG}/pushy/jobs"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A server without agents, shared by the tests of this file."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def test_an_agent_with_the_wrong_key_is_refused_and_says_so(house: House) -> None:
    house.new_key("web1")
    wrong = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    agent = house.add_agent("web1", {"true": ["true"]}, wrong)
    wait_until(lambda: "401" in agent.log_file.read_text(), "the refusal in the agent's log")
    with house.client() as client:
        assert not client.node("web1").available


def test_a_port_in_use_is_named(house: House, tmp_path: Path) -> None:
    other = House(tmp_path, **{"http.port": urlsplit(house.address).port})
    other.init()
    done = run([*server_words(other.data), "run"])
    assert done.code == 1
    assert str(urlsplit(house.address).port) in done.err


def test_a_missing_data_directory_is_named(tmp_path: Path) -> None:
    done = run([*server_words(tmp_path / "nothing"), "run"])
    assert done.code == 1
    assert str(tmp_path / "nothing") in done.err


def test_a_run_folder_that_can_not_be_written_ends_the_server(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.init()
    folder = house.data / "run"
    folder.rmdir()
    folder.touch()  # where root may write everywhere, too
    done = run([*server_words(house.data), "run"])
    assert done.code == 1
    assert f"{folder} can't be written" in done.err


@pytest.mark.parametrize("said", [b"", b"\x16"], ids=["nothing", "one byte"])
def test_silent_connections_keep_nobody_from_an_answer(house: House, said: bytes) -> None:
    place = urlsplit(house.address)
    with ExitStack() as stack:
        for _ in range(50):
            connection = socket.create_connection((place.hostname, place.port or 0))
            stack.callback(connection.close)
            connection.sendall(said)
        client = stack.enter_context(house.client())
        before = time.monotonic()
        client.jobs()
        assert time.monotonic() - before < 1.0


def test_a_replayed_post_gives_the_first_job(house: House) -> None:
    body = json.dumps({"command": "true", "nodes": ["nowhere"]}).encode()
    headers = signed(house, body)
    first, second = (post(house, body, headers) for _ in range(2))
    assert first.status_code == 201, first.text
    assert second.json()["uri"] == first.json()["uri"]


def test_plain_http_gets_a_readable_answer(house: House) -> None:
    place = urlsplit(house.address)
    with socket.create_connection((place.hostname, place.port or 0), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = plain.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"https" in answer.lower()


def test_a_server_that_is_away_is_told_with_its_address(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.init()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        house.address = f"https://127.0.0.1:{unused.getsockname()[1]}"
        done = house.push_jobs("node", "list")
    assert done.code == 8
    assert house.address.split("//")[1] in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_refuses_new_jobs_and_loses_none(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk, open_house(disk) as house, house.client() as client:
        accepted = [client.start_job("true", ["nowhere"])]
        ballast = disk / "ballast"
        fill(ballast)
        accepted += until_refused(client)
        assert client.jobs()
        ballast.unlink()
        wait_until(lambda: takes_jobs(client), "new jobs to be taken")
        assert set(accepted) <= {job.id for job in client.jobs()}


def until_refused(client: Client) -> List[str]:
    """Start jobs until one is refused as the disk is full; the ids of those accepted."""
    accepted = []
    for _ in range(2000):
        try:
            accepted.append(client.start_job("true", ["nowhere"]))
        except ApiError as error:
            assert error.status == 503
            return accepted
    raise AssertionError("the disk never got full")


def takes_jobs(client: Client) -> bool:
    """True when a new job is accepted."""
    try:
        client.start_job("true", ["nowhere"])
    except ApiError as error:
        assert error.status == 503
        return False
    return True


def fill(file: Path) -> None:
    """Write to a file until its disk is full."""
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        pass
    finally:
        os.close(descriptor)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 4 MiB, unmounted at the end."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def signed(house: House, body: bytes) -> Dict[str, str]:
    """The headers of a POST of a job by the administrator."""
    return chef_auth.sign(
        method="POST",
        target=JOBS,
        body=body,
        user_id=ADMIN,
        timestamp=chef_auth.timestamp(time.time()),
        private_key=chef_auth.load_private_key(house.key_file.read_bytes()),
    )


def post(house: House, body: bytes, headers: Dict[str, str]) -> requests.Response:
    """Send a job as it is."""
    with requests.Session() as session:
        session.trust_env = False
        return session.post(
            house.address + JOBS,
            data=body,
            headers={**headers, "Content-Type": "application/json"},
            verify=str(house.data / "ca.crt"),
            timeout=10,
        )
