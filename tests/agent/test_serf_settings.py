"""Settings for jobs over Serf: our names, schob's own file and options, and what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest
from stub_certificates import pem_of, write_private

from push_jobs_agent import cli, config, exit_codes, schob_file, serf_settings
from push_jobs_agent.config import load
from push_jobs_wire.settings import SettingsError

SCHOB = """\
# written by a cookbook
endpoint = "http://goiardi.example.com:4545"   # the server
clientname = "web1.example.com"
key-file = "/etc/chef/client.pem"
sign-pub-key = "/etc/schob/shovey.pem"
whitelist = '/etc/schob/whitelist.json'
log-level = "warning"
log-file = "/var/log/schob/schob.log"
run-timeout = 45
time-slew = "1h30m"
serf-addr = "127.0.0.1:7373"
queue-save-file = "/var/lib/schob/queue"
syslog = false
debug-level = 4
"""

EXPECTED = {
    "shovey_url": "http://goiardi.example.com:4545",
    "node_name": "web1.example.com",
    "client_key": "/etc/chef/client.pem",
    "sign_pub_key": "/etc/schob/shovey.pem",
    "whitelist": "/etc/schob/whitelist.json",
    "log_level": "warn",
    "log_location": "/var/log/schob/schob.log",
    "time_slew": 5400.0,
    "serf_addr": "127.0.0.1:7373",
}


@pytest.mark.proves("G-9")
@pytest.mark.parametrize("name", ["schob.conf", "schob.toml", "settings"])
def test_the_file_of_schob_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(SCHOB)
    found = load(str(path), {})
    assert {key: found[key] for key in EXPECTED} == EXPECTED
    assert found["chef_server_url"] is None and found.organization == ""
    assert found.node_name == "web1.example.com"
    ignored = {note.split(" ")[0] for note in found.notes if "is ignored" in note}
    assert ignored == {"run-timeout", "queue-save-file", "syslog", "debug-level"}
    assert any("plain http" in note for note in found.notes)


def test_both_readers_say_the_same() -> None:
    tomllib = pytest.importorskip("tomllib")
    assert schob_file.plain(SCHOB) == tomllib.loads(SCHOB)
    text = 'a = "x \\"y\\" \\\\z\\n"\nb = -3\nc = true\n'
    assert schob_file.plain(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("[section]", "line 1 is no plain"),
        ("a = [1]", "line 1 has a value"),
        ("a = 1\na = 2", "line 2 sets a again"),
        ('a = "x', "line 1 is no plain"),
        ("a = 1.5", "line 1 has a value"),
    ],
)
def test_what_is_not_plain_is_named(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        schob_file.plain(text)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "schob.conf"
    path.write_text("endpoint = \n")
    with pytest.raises(SettingsError, match="no TOML"):
        load(str(path), {})


def test_our_settings_may_stand_in_it(tmp_path: Path) -> None:
    path = tmp_path / "schob.conf"
    path.write_text(SCHOB + 'state_dir = "/srv/jobs"\nsomething = 1\n')
    found = load(str(path), {})
    assert found["state_dir"] == "/srv/jobs"
    assert "something is ignored: it is no setting of this agent" in found.notes


@pytest.mark.parametrize(
    "text, seconds",
    [("15m", 900.0), ("1h30m", 5400.0), ("90s", 90.0), ("1.5h", 5400.0), ("500ms", 0.5)],
)
def test_durations(text: str, seconds: float) -> None:
    assert schob_file.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "m", "15 m", "15x", "-5m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        schob_file.seconds(text)


SERF = {"shovey_url": "https://goiardi.example.com", "sign_pub_key": "/etc/shovey.pem"}


def parsed(**changes: Any) -> config.Config:
    return load(None, {**SERF, "node_name": "web1", **changes}, "/nowhere")


def test_serf_alone_beside_and_not_at_all() -> None:
    assert parsed()["serf_addr"] == "127.0.0.1:7373" and parsed()["time_slew"] == 900.0
    both = parsed(chef_server_url="https://chef.example.com/organizations/acme")
    assert both.organization == "acme"
    with pytest.raises(SettingsError, match="chef_server_url is missing"):
        load(None, {}, "/nowhere")


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"sign_pub_key": None}, "sign_pub_key is missing"),
        ({"shovey_url": "ftp://x"}, "expected http"),
        ({"shovey_url": "https://a:b@x"}, "more than a host"),
        ({"shovey_url": "https://x?y"}, "more than a host"),
        ({"shovey_url": "https://x:99999"}, "no number up to 65535"),
        ({"serf_addr": "127.0.0.1"}, "HOST:PORT"),
        ({"serf_addr": "127.0.0.1:0"}, "HOST:PORT"),
        ({"time_slew": 0}, "time_slew"),
        ({"time_slew": "soon"}, "time_slew"),
    ],
)
def test_mistakes_are_named(changes: Dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        parsed(**changes)


def test_addresses() -> None:
    assert serf_settings.address("[::1]:7373") == ("::1", 7373)
    assert serf_settings.address("serf.local:1") == ("serf.local", 1)


def test_where_the_journal_is() -> None:
    assert serf_settings.state_dir(parsed(state_dir="/s").values, {}) == "/s/serf"
    named = parsed(serf_state_dir="/j", start_runner=False)
    assert serf_settings.state_dir(named.values, {"STATE_DIRECTORY": "/x"}) == "/j"
    kept_apart = dict(parsed().values)
    kept_apart["start_runner"] = False
    assert serf_settings.state_dir(kept_apart, {"STATE_DIRECTORY": "/x:/y"}) == "/x"
    assert serf_settings.state_dir(kept_apart, {}) is None


def test_the_key_is_a_secret() -> None:
    shown = config.TABLE.show(parsed(serf_auth_key="geheim").values)
    assert "geheim" not in json.dumps(shown)


def files(tmp_path: Path, key: str) -> List[str]:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    write_private(tmp_path / "client.pem", pem_of(private))
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "good.pem").write_bytes(public)
    (tmp_path / "bad.pem").write_text("no key")
    (tmp_path / "whitelist.json").write_text('{"whitelist": {"ls": "ls -l"}}')
    words = ["-e", "https://goiardi.example.com", "-n", "web1", "-m", "10m"]
    words += ["-w", str(tmp_path / "whitelist.json"), "-p", str(tmp_path / key)]
    return [*words, "--key-file", str(tmp_path / "client.pem"), "--serf-addr=127.0.0.1:1"]


@pytest.mark.parametrize(
    "key, code, text",
    [
        ("good.pem", exit_codes.OK, "no mistake found"),
        ("bad.pem", exit_codes.CONFIG, "the public key cannot be read"),
        ("none.pem", exit_codes.CONFIG, "cannot be read"),
        ("client.pem", exit_codes.CONFIG, "this is a private key"),
    ],
)
def test_check_looks_at_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, code: int, text: str
) -> None:
    (tmp_path / "empty.yml").write_text("")
    words = ["-c", str(tmp_path / "empty.yml"), *files(tmp_path, key), "--check"]
    assert cli.main(words) == code
    told = capsys.readouterr()
    assert text in told.out + told.err


def test_an_old_command_line_of_schob(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "schob.conf").write_text('organization = "acme"\n')
    words = ["-c", str(tmp_path / "schob.conf"), *files(tmp_path, "good.pem"), "--check"]
    assert cli.main([*words, "-VV", "-s", "-t", "45", "-q", "/var/lib/schob/queue"]) == 0
    told = capsys.readouterr().err
    for name in ("--syslog", "--run-timeout", "--queue-save-file"):
        assert f"option {name} is ignored: " in told
    assert "organization is ignored: runs are reported" in told


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ([], None),
        (["-V"], "error"),
        (["-VV"], "warn"),
        (["-V", "--verbose", "-V"], "info"),
        (["-VVVVV"], "debug"),
        (["-VVVV", "-l", "fatal"], "fatal"),
    ],
)
def test_verbose_sets_the_log_level(words: List[str], level: Any) -> None:
    assert cli._given(cli._parser().parse_args(words))["log_level"] == level


@pytest.mark.parametrize("end", ["serf", "pushy"])
def test_an_agent_loads_only_what_its_ends_need(end: str) -> None:
    code = (
        "import sys, push_jobs_agent.cli, push_jobs_agent.service, push_jobs_agent.assembly\n"
        f"import push_jobs_agent.{end}_end\n"
        "print(sorted({'zmq', 'msgpack', 'cryptography', 'requests', 'ssl'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    expected = {"serf": "['msgpack']", "pushy": "[]"}[end]
    assert found.stdout.decode().strip() == expected


def test_nothing_says_where_the_journal_is(tmp_path: Path) -> None:
    words = files(tmp_path, "good.pem")
    (tmp_path / "state").mkdir()
    (tmp_path / "session.lock").touch()
    settings = {"start_runner": False, "state_dir": str(tmp_path / "state")}
    (tmp_path / "agent.yml").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "push_jobs_agent", "-c", str(tmp_path / "agent.yml"), *words]
    environment = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == exit_codes.CONFIG
    assert "serf_state_dir is missing" in done.stderr
