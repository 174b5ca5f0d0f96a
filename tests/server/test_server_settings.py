"""The server's settings: defaults, the file, and every mistake in it named at once."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import List

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from push_jobs_server.settings import TABLE, load
from push_jobs_server.settings_file import parse_yaml
from push_jobs_wire.settings import SettingsError


def write(folder: Path, text: str) -> Path:
    (folder / "settings.yml").write_text(text, encoding="utf-8")
    return folder


def problems(folder: Path, text: str) -> List[str]:
    with pytest.raises(SettingsError) as caught:
        load(write(folder, text))
    return caught.value.problems


def test_the_documented_defaults(tmp_path: Path) -> None:
    values = load(write(tmp_path, ""))
    expected = {
        "http.port": 10003,
        "zeromq.heartbeat_port": 10000,
        "zeromq.command_port": 10002,
        "heartbeat_interval": 10.0,
        "down_threshold": 0.6,
        "decay_window": 4,
        "offline_threshold": 3,
        "online_threshold": 2,
        "voting_timeout": 60.0,
        "default_run_timeout": 3600,
        "config_lifetime": 3600,
        "max_message_skew": 300,
        "max_message_size": 65536,
        "request_skew": 900,
        "http.max_body_size": 1_000_000,
        "max_job_file": 100_000,
        "validate_client_node_name": True,
        "tls.enabled": True,
    }
    assert {name: values[name] for name in expected} == expected
    assert values["zeromq.advertised_host"] == socket.gethostname()


def test_each_default_is_itself_a_value_that_is_taken() -> None:
    for field in TABLE.fields.values():
        assert field.read(field.default) == field.default, field.name


def test_paths_and_the_database_lie_in_the_data_directory(tmp_path: Path) -> None:
    values = load(write(tmp_path, "tls: {key: /etc/own.key}\n"))
    assert values["tls.certificate"] == str(tmp_path / "server.crt")
    assert values["tls.key"] == "/etc/own.key"
    assert values["database.url"] == f"sqlite:///{tmp_path}/push-jobs.db"
    url = "postgresql://u:p@h/d"
    assert load(write(tmp_path, f"database: {{url: '{url}'}}"))["database.url"] == url


def test_a_settings_file_can_be_named_itself(tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text("http: {port: 1}")
    values = load(other)
    assert values["http.port"] == 1 and values["tls.ca"] == str(tmp_path / "ca.crt")


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = """\
http:
  port: 70000
  prot: 1
  port: eighty
heartbeat_intervall: 10
voting_timeout: 1m
voting_timeout: 2
trusted_proxies: [10.0.0.0/8, here]
config_lifetime: 3601
zeromq: {heartbeat_port: 5, command_port: 5}
database: {url: "mysql://u:hunter2@h/d"}
log: {level: loud}
"""
    found = problems(tmp_path, text)
    assert found == [
        "line 4: key 'port' was already given in line 2",
        "line 7: key 'voting_timeout' was already given in line 6",
        "http.port is 'eighty', expected a whole number from 0 to 65535",
        "unknown key 'http.prot'; did you mean 'http.port'?",
        "unknown key 'heartbeat_intervall'; did you mean 'heartbeat_interval'?",
        "log.level is 'loud', expected one of debug, info, warning, error",
        "grant_lifetime is 7200, expected at least 7202, twice config_lifetime: agents that are "
        "late to fetch their settings would be locked out",
        "zeromq.heartbeat_port and zeromq.command_port are both 5, expected two ports",
        "trusted_proxies has 'here', expected IP addresses or networks such as 10.0.0.0/8",
        "database.url (secret, so not shown) is of an unknown kind, expected sqlite:///... or "
        "postgresql://... or postgresql+psycopg2://...",
    ]


def test_keys_given_twice_are_mistakes_even_when_all_else_is_right(tmp_path: Path) -> None:
    assert problems(tmp_path, "http: {port: 1, port: 2}") == [
        "line 1: key 'port' was already given in line 1"
    ]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("http: {port: 1\n", "line 2, column 1: is not readable as YAML: "),
        ("a:\n  - b\n c: d\n", "line 3, column 2: is not readable as YAML: "),
        ("a: 2020-99-99", "line 1, column 4: is not readable as YAML: this value makes no sense"),
        ("a: !!python/object:os.system x", "line 1, column 4: is not readable as YAML: could not"),
        ("a: \x00", "is not readable as YAML: "),
        ("[" * 10000, "is nested too deeply"),
        ("- 1", "expected lines of the form KEY: VALUE, found a list"),
    ],
)
def test_broken_yaml_tells_where(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(problem) and "\n" not in found


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"settings\.yml: there is no such file; 'push-jobs"):
        load(tmp_path)
    (tmp_path / "settings.yml").write_bytes(b"a: \xff")
    with pytest.raises(SettingsError, match=r"settings\.yml: byte 4 is not UTF-8"):
        load(tmp_path)
    (tmp_path / "settings.yml").unlink()
    (tmp_path / "settings.yml").mkdir()
    with pytest.raises(SettingsError, match=r"settings\.yml: cannot be read: Is a directory"):
        load(tmp_path)


def test_the_sample_file_is_the_defaults(tmp_path: Path) -> None:
    assert dict(load(write(tmp_path, TABLE.sample()))) == dict(load(write(tmp_path, "")))
    assert yaml.safe_load(TABLE.sample({"http.port": 1}))["http"] == {"port": 1}


def test_the_password_of_the_database_is_never_shown(tmp_path: Path) -> None:
    values = load(write(tmp_path, "database: {url: 'postgresql://u:hunter2@h/d'}"))
    assert TABLE.show(values)["database"]["url"] == "postgresql://u:********@h/d"
    assert "hunter2" not in repr(values)


# A busy machine is slow now and then; that is no failure.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text() | st.text(alphabet="a:-[]{}&*!,\n '\"#<1.%@|>"))
def test_no_text_raises_anything_but_settings_errors(text: str) -> None:
    try:
        mapping, _ = parse_yaml(text, "x")
        TABLE.parse(mapping, "x")
    except SettingsError as error:
        assert error.problems
