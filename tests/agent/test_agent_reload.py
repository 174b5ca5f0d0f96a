"""Settings that are read again: what is taken over, what needs a restart, what changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from agent_desk import JOB, OTHER, commit, running_desk

from push_jobs_agent import logs, reload
from push_jobs_agent.config import Config, load
from push_jobs_agent.reload import NEEDS_RESTART, Reload, merge
from push_jobs_agent.runner_keeper import RunnerKeeper, runner_command
from push_jobs_wire.messages import Abort, Run

URL = "https://push.example.test/organizations/acme"


class Desk:
    """A settings file that is read again and again, with the log in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options: Dict[str, Any] = {}
        self.file = folder / "agent.yml"
        self.log = folder / "agent.log"
        (folder / "key.pem").write_text("a key")
        (folder / "whitelist.json").write_text("{}")
        self.write()
        self.config = self.load()
        logs.set_up("web1", "info", str(self.log), True)

    def write(self, **changes: Any) -> None:
        """Write the file; None takes a line out."""
        values = {
            "chef_server_url": URL,
            "node_name": "web1",
            "client_key": "key.pem",
            "whitelist": "whitelist.json",
            "state_dir": "state",
            "log_location": "agent.log",
            "log_format": "json",
            **changes,
        }
        self.file.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))

    def load(self) -> Config:
        return load(str(self.file), self.options)

    def merge(self, **changes: Any) -> Reload:
        """What a good file with these changes would come to."""
        self.write(**changes)
        return merge(self.config, self.load())

    def reload(self, **changes: Any) -> Optional[Reload]:
        self.write(**changes)
        return reload.reload(self.config, str(self.file), self.options)

    def lines(self) -> List[Dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def problems(self) -> List[str]:
        wrong = "the settings are wrong; the old ones are kept"
        return [line["problem"] for line in self.lines() if line["event"] == wrong]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(tmp_path)
    logs.set_up("web1", "info", None, False)


def test_who_the_node_is_and_whom_it_talks_to_needs_a_restart() -> None:
    assert NEEDS_RESTART == (
        "chef_server_url",
        "node_name",
        "state_dir",
        "start_runner",
        "allow_unencrypted",
        "force_plain",
        "shovey_url",
        "serf_addr",
        "serf_auth_key",
        "serf_state_dir",
    )


def test_nothing_changed(desk: Desk) -> None:
    change = desk.merge()
    assert (change.taken, change.waiting) == ((), ())
    assert not change.needs_fetch and not change.needs_runner
    assert change.config == desk.config


def test_what_waits_is_not_in_effect_and_the_rest_is(desk: Desk) -> None:
    other = "https://other.example.test/organizations/other"
    change = desk.merge(chef_server_url=other, node_name="web2", drain_timeout=1, abort_grace=2)
    assert change.taken == ("drain_timeout", "abort_grace")
    assert change.waiting == ("chef_server_url", "node_name")
    config = change.config
    assert (config["drain_timeout"], config["abort_grace"]) == (1.0, 2.0)
    assert (config["chef_server_url"], config.organization) == (URL, "acme")
    assert (config["node_name"], config.node_name) == ("web1", "web1")
    desk.config = config
    assert desk.merge(chef_server_url=other).waiting == ("chef_server_url",)


@pytest.mark.parametrize(
    ("changes", "fetch", "runner"),
    [
        ({"max_body_size": 5000}, False, False),
        ({"ca_file": "key.pem"}, True, False),
        ({"client_key": "agent.yml"}, True, False),
        ({"https_proxy": "http://proxy.example.test"}, True, False),
        ({"whitelist": "other.json"}, False, True),
        ({"allowed_users": ["deploy"]}, False, True),
        ({"log_location": "other.log"}, False, True),
        ({"log_location": None}, False, True),
    ],
)
def test_some_settings_need_more_than_to_be_noted(
    desk: Desk, changes: Dict[str, Any], fetch: bool, runner: bool
) -> None:
    change = desk.merge(**changes)
    assert change.taken == tuple(changes)
    assert (change.needs_fetch, change.needs_runner) == (fetch, runner)


def test_the_runner_of_a_service_manager_reads_the_settings_itself(desk: Desk) -> None:
    desk.write(start_runner=False)
    desk.config = desk.load()
    change = desk.merge(start_runner=False, whitelist="other.json", log_location="other.log")
    assert (set(change.taken), change.waiting) == ({"whitelist", "log_location"}, ())
    assert change.needs_runner
    assert not desk.merge(start_runner=False, log_location="other.log").needs_runner


def test_the_next_runner_gets_the_new_options(desk: Desk) -> None:
    keeper = RunnerKeeper(desk.config)
    keeper.config = desk.merge(whitelist="other.json", output_limit=2048).config
    words = runner_command(keeper.config)
    assert f"--whitelist={desk.folder / 'other.json'}" in words and "--output-limit=2048" in words


def test_names_are_logged_and_values_are_not(desk: Desk) -> None:
    secret = "http://user:secret@proxy.example.test"
    change = desk.reload(https_proxy=secret, log_level="debug", node_name="web2")
    assert change is not None
    assert [(line["level"], line["event"]) for line in desk.lines()] == [
        ("info", "read the settings again"),
        ("warning", "a changed setting needs a restart"),
    ]
    assert desk.lines()[0]["changed"] == "log_level, https_proxy"
    assert desk.lines()[1]["setting"] == "node_name"
    assert "secret" not in desk.log.read_text()
    logs.log("debug", "now shown")
    assert desk.lines()[-1]["event"] == "now shown"


def test_all_mistakes_are_named_and_nothing_changes(desk: Desk) -> None:
    assert desk.reload(log_level="loud", drain_timeout=-1, chef_server_url="ftp://x") is None
    assert len(desk.problems()) == 3
    desk.file.write_text("chef_server_url: [")
    assert reload.reload(desk.config, str(desk.file), {}) is None
    assert "line 1: no YAML" in desk.problems()[-1]
    desk.file.unlink()
    assert reload.reload(desk.config, str(desk.file), {}) is None
    assert "cannot be read" in desk.problems()[-1]


def test_files_that_are_wrong_are_mistakes_too(desk: Desk) -> None:
    (desk.folder / "other.json").write_text('{"a": 5}')
    changes = {"client_key": "none.pem", "log_location": "none/x.log", "whitelist": "other.json"}
    assert desk.reload(**changes, log_level="debug") is None
    key, whitelist, log = desk.problems()
    assert key.startswith("client_key:") and log.startswith("log_location:")
    assert "other.json: a: " in whitelist
    logs.log("debug", "not shown")
    assert desk.lines()[-1]["event"] != "not shown"


def test_a_whitelist_that_stays_where_it_is_is_left_to_the_runner(desk: Desk) -> None:
    (desk.folder / "whitelist.json").write_text("[]")
    assert desk.reload(log_level="debug") is not None
    assert desk.reload(allowed_users=["deploy"]) is None
    assert "whitelist.json" in desk.problems()[0]


def test_the_log_goes_on_in_another_file(desk: Desk) -> None:
    assert desk.reload(log_location="other.log") is not None
    other = json.loads((desk.folder / "other.log").read_text())
    assert (other["event"], other["node"]) == ("read the settings again", "web1")
    assert desk.lines() == []


def test_options_still_go_before_the_file(desk: Desk) -> None:
    desk.options["log_level"] = "warn"
    desk.config = desk.load()
    change = desk.reload(log_level="debug", abort_grace=1)
    assert change is not None and change.taken == ("abort_grace",)
    assert change.config["log_level"] == "warn"


def test_the_host_is_not_asked_for_its_name_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> str:
        raise AssertionError("this may wait for the network")

    desk.write(node_name=None)
    desk.config = desk.load()
    monkeypatch.setattr("socket.getfqdn", slow)
    change = desk.reload(node_name=None)
    assert change is not None and change.config.node_name == desk.config.node_name


def test_the_session_uses_the_new_limits() -> None:
    desk = running_desk(capture=True, extensions=0)
    desk.session.adjust(max_body_size=4096, abort_grace=77.0)
    desk.runner.output[JOB] = (b"x" * 50_000, b"")
    desk.ended(capture=True)
    [outcome] = [fields for fields in desk.server.fields() if fields["type"] == "succeeded"]
    assert 3000 < len(outcome["stdout"]) < 4096
    desk.server.say(commit(OTHER))
    desk.server.say(Run(OTHER))
    desk.server.say(Abort())
    assert desk.runner.ops("abort")[0]["grace"] == 77.0
