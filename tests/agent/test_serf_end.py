"""The end over Serf put together: the disk of earlier lives, another key, no runner yet, and what
it says to and hears from a Serf agent on a real socket."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fake_serf import FakeSerf
from serf_desk import JOB, NODE, OTHER, SerfDesk, signing_key
from waiting import wait_until

from push_jobs_agent.actions import Ask, Now
from push_jobs_agent.config import Config, load
from push_jobs_agent.errors import AgentError
from push_jobs_agent.reload import Reload
from push_jobs_agent.serf_end import SerfEnd
from push_jobs_agent.serf_store import SerfStore
from push_jobs_wire import serf_rpc

NOW = Now(1000.0, 1767225600.0)


def write_key(path: Path, key: rsa.RSAPrivateKey) -> str:
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path.write_bytes(public)
    return str(path)


def settings(folder: Path, **changes: Any) -> Config:
    own = {
        "shovey_url": "http://127.0.0.1:1",
        "serf_addr": "127.0.0.1:1",
        "sign_pub_key": write_key(folder / "key.pem", signing_key()),
        "node_name": NODE,
        "state_dir": str(folder),
    }
    return load(None, {**own, **changes}, "/nowhere")


def end_of(config: Config) -> Tuple[SerfEnd, List[Ask]]:
    asked: List[Ask] = []
    end = SerfEnd(config, lambda ask, _: asked.append(ask), lambda *_: (0, b""))
    return end, asked


def test_runs_of_an_earlier_life_are_this_ends(tmp_path: Path) -> None:
    desk = SerfDesk()
    desk.start()
    SerfStore(str(tmp_path / "serf")).keep(JOB, desk.journal[JOB], True)
    end, _ = end_of(settings(tmp_path))
    assert end.owns(JOB) and end.running == [JOB] and not end.free and not end.drained
    assert not end.owns("0" * 32)
    # Nobody is told that we are there before there is a runner.
    end.turn(NOW)
    assert list(end.readers())[0] is None and list(end.writers()) == [None]
    end.finish()


def test_a_reload_takes_another_key_and_keeps_it_when_the_next_is_broken(tmp_path: Path) -> None:
    config = settings(tmp_path)
    end, _ = end_of(config)
    assert end._key == numbers(signing_key())
    write_key(tmp_path / "key.pem", signing_key(1))
    (tmp_path / "broken.pem").write_text("no key")
    for file in ("key.pem", "broken.pem"):
        changed = load(None, {**config.values, "sign_pub_key": str(tmp_path / file)}, "/nowhere")
        end.reloaded(Reload(changed, ("sign_pub_key",), ()), NOW)
        assert end._key == numbers(signing_key(1))
    end.finish()


def numbers(key: rsa.RSAPrivateKey) -> Tuple[int, int]:
    public = key.public_key().public_numbers()
    return public.n, public.e


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AgentError, match="serf_state_dir"):
        end_of(settings(tmp_path, serf_state_dir=str(tmp_path / "file" / "x")))


# With a Serf agent


@pytest.fixture
def fake() -> Iterator[FakeSerf]:
    made = FakeSerf()
    yield made
    made.close()


@pytest.fixture
def log() -> Iterator[List[logging.LogRecord]]:
    """The agent's lines; other tests may have told its logger to keep them from pytest."""
    records: List[logging.LogRecord] = []
    handler = logging.Handler()
    setattr(handler, "emit", records.append)
    logger = logging.getLogger("push_jobs_agent")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield records
    logger.setLevel(level)
    logger.removeHandler(handler)


class Life:
    """One life of an agent that the Serf agent has let in, with a runner, and a clock of ours."""

    def __init__(self, folder: Path, fake: FakeSerf) -> None:
        self.fake = fake
        self.now = NOW
        self.config = settings(folder, serf_addr="%s:%d" % fake.address)
        self.end, self.asked = end_of(self.config)
        self.end.runner_found({"ok": True, "jobs": []}, NOW)
        self.enter()

    def enter(self) -> None:
        """Go through the handshake, and take the first thing that is said then."""
        self.end.turn(self.now)
        self.fake.accept()
        for command in ("handshake", "stream"):
            said, _, self.stream = self.request()
            assert said == command
            self.fake.say({"Error": "", "Seq": self.stream})
        self.joined = self.request()

    def request(self) -> Tuple[str, Any, int]:
        """What the Serf agent is asked next: the command, its body and number."""
        header, body = self._next(), self._next()
        return header["Command"], body, header["Seq"]

    def _next(self) -> Any:
        return self.until(self.fake.poll, "a request")

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Let the end turn until a condition holds."""

        def turned() -> Any:
            self.end.turn(self.now)
            return condition()

        return wait_until(turned, what)

    def hear(self, payload: bytes, log: List[logging.LogRecord]) -> List[str]:
        """A query named shovey comes; what the runner was asked then, and why it was refused."""
        before, lines = len(self.asked), len(log)
        query = {"Event": "query", "ID": 1, "LTime": 1, "Name": "shovey", "Payload": payload}
        self.fake.say({"Error": "", "Seq": self.stream}, query)
        self.until(lambda: len(log) > lines, "a line in the log")
        reasons = [getattr(each, "fields", {}).get("reason") for each in log[lines:]]
        return [ask.op for ask in self.asked[before:]] + [why for why in reasons if why]

    def over(self) -> None:
        """The agent ends, and all is told of its run, so that its journal is gone."""
        self.end.finish()
        SerfStore(self.config["state_dir"] + "/serf").drop(JOB)


def test_a_command_is_refused_by_the_next_agent_when_it_comes_again(
    tmp_path: Path, fake: FakeSerf, log: List[logging.LogRecord]
) -> None:
    start = SerfDesk().payload()
    life = Life(tmp_path, fake)
    assert life.hear(start, log) == ["start"]
    life.over()
    life = Life(tmp_path, fake)
    (reason,) = life.hear(start, log)
    assert "before" in reason
    life.over()


def test_only_queries_of_the_protocols_name_are_commands(
    tmp_path: Path, fake: FakeSerf, log: List[logging.LogRecord]
) -> None:
    life = Life(tmp_path, fake)
    other = {"ID": 1, "LTime": 1, "Payload": SerfDesk().payload(run=OTHER)}
    for event, name in (("query", "other"), ("user", "shovey"), ("member-join", "shovey")):
        life.fake.say({"Error": "", "Seq": life.stream}, {"Event": event, "Name": name, **other})
    assert life.hear(SerfDesk().payload(), log) == ["start"]
    assert [ask.fields["job_id"] for ask in life.asked] == [JOB]
    life.over()


def test_a_defect_of_ours_is_logged_and_ends_nothing(
    tmp_path: Path,
    fake: FakeSerf,
    log: List[logging.LogRecord],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    life = Life(tmp_path, fake)
    with monkeypatch.context() as patch:
        patch.setattr("push_jobs_agent.shovey_check.check", lambda *_: 1 / 0)
        assert life.hear(SerfDesk().payload(), log) == []
    assert [record.levelname for record in log][-1] == "CRITICAL"
    assert life.hear(SerfDesk().payload(), log) == ["start"]
    life.over()


def test_sha256_is_required_once_seen_after_a_reload_and_by_the_next_agent(
    tmp_path: Path, fake: FakeSerf, log: List[logging.LogRecord]
) -> None:
    life = Life(tmp_path, fake)
    assert life.hear(SerfDesk().payload(also_256=True), log) == ["start"]
    life.end.reloaded(Reload(life.config, ("time_slew",), ()), NOW)
    (reason,) = life.hear(SerfDesk().payload(run=OTHER), log)
    assert "SHA-256 is missing" in reason
    life.over()
    life = Life(tmp_path, fake)
    (reason,) = life.hear(SerfDesk().payload(run=OTHER), log)
    assert "SHA-256 is missing" in reason
    assert life.hear(SerfDesk().payload(run=OTHER, also_256=True), log) == ["start"]
    life.over()


@pytest.mark.proves("G-2")
def test_a_node_joins_and_beats_at_once_and_every_half_minute(
    tmp_path: Path, fake: FakeSerf
) -> None:
    life = Life(tmp_path, fake)
    for _ in range(2):  # also on the next connection
        command, body, _ = life.joined
        assert (command, body["Name"], body["Coalesce"]) == ("event", "goiardi-join", True)
        assert serf_rpc.payload_of(body["Payload"]) == NODE.encode()
        for _ in range(2):
            command, body, _ = life.request()
            assert (command, body["Name"], body.get("FilterNodes")) == (
                "query",
                "node_status",
                None,
            )
            fields = json.loads(serf_rpc.payload_of(body["Payload"]))
            assert (fields["node"], fields["status"]) == (NODE, "up")
            for _ in range(2):  # what one turn says goes out with the next
                life.end.turn(Now(life.now.steady + 29.9, life.now.wall))
            assert fake.poll() is None
            life.now = Now(life.now.steady + 30.0, life.now.wall)
        assert fake.peer is not None
        fake.peer.close()
        life.until(lambda: list(life.end.readers())[0] is None, "the loss of the connection")
        life.now = Now(life.now.steady + 10.0, life.now.wall)
        life.enter()
    life.end.finish()
