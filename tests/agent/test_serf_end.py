"""The end over Serf put together: the disk of earlier lives, another key, no runner yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Tuple

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from serf_desk import JOB, NODE, SerfDesk, signing_key

from push_jobs_agent.actions import Ask, Now
from push_jobs_agent.config import Config, load
from push_jobs_agent.errors import AgentError
from push_jobs_agent.reload import Reload
from push_jobs_agent.serf_end import SerfEnd
from push_jobs_agent.serf_store import SerfStore

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
