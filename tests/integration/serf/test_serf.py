"""Jobs over Serf by attributes alone: a server, a node with both sessions, a node with Serf alone.

The first two are one machine, the host of this suite; the last one is the suite's peer.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict

import pytest
from outside import Operator, wait_long
from shovey_api import ShoveyApi

BOTH, ALONE = "serf", "serf-peer"
ADDRESSES = {BOTH: "10.77.0.30", ALONE: "10.77.0.31"}
ROOT = f"https://{ADDRESSES[BOTH]}:10003"
RPC_KEYS = {BOTH: "key of the lab", ALONE: ""}
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"
UNITS = ("serf", SESSION, RUNNER)
SETTINGS, KEY = "/etc/serf/push-jobs.json", "/etc/chef/push-jobs-serf.pub"


@pytest.fixture(params=[BOTH, ALONE])
def name(request: Any) -> str:
    """Each of the nodes."""
    found: str = request.param
    return found


@pytest.fixture
def hosts(host: Any) -> Dict[str, Any]:
    """All of them, by name."""
    config = f"{os.environ['PUSHJOBS_LAB']}/ssh_config"
    return {
        name: host.get_host(f"ssh://root@{address}", ssh_config=config)
        for name, address in ADDRESSES.items()
    }


@pytest.fixture
def peer(hosts: Dict[str, Any], machine_of: Any) -> Any:
    """The node with Serf alone, as its administrator sees it."""
    return machine_of(hosts[ALONE])


@pytest.fixture
def node(hosts: Dict[str, Any], name: str) -> Any:
    """That node from outside."""
    return hosts[name]


@pytest.fixture
def variables(host: Any, tmp_path: Path) -> Dict[str, str]:
    """How to reach the server of this suite as its administrator."""
    files = {
        "PUSHJOBS_KEY": "/root/push-jobs-alice.pem",
        "PUSHJOBS_CA": "/var/lib/push-jobs-server/ca.crt",
    }
    for variable, path in files.items():
        (tmp_path / variable).write_text(host.file(path).content_string)
    local = {variable: str(tmp_path / variable) for variable in files}
    return {**local, "PUSHJOBS_SERVER": f"{ROOT}/organizations/acme", "PUSHJOBS_USER": "alice"}


@pytest.fixture
def alice(variables: Dict[str, str]) -> Operator:
    """The administrator with our command line."""
    return Operator(variables)


@pytest.fixture
def api(variables: Dict[str, str]) -> ShoveyApi:
    """The administrator with a script for the Shovey API; both nodes are up."""
    key, ca = Path(variables["PUSHJOBS_KEY"]), Path(variables["PUSHJOBS_CA"])
    found = ShoveyApi(ROOT, "alice", key, ca)
    found.wait_up(BOTH, ALONE)
    return found


def _members(node: Any, name: str) -> Dict[str, str]:
    words = f"serf members -format=json -rpc-auth='{RPC_KEYS[name]}'"
    found = json.loads(node.check_output(words))["members"]
    return {each["name"]: each["status"] for each in found}


# The machines


def test_debians_package_runs_and_will_after_a_reboot(node: Any) -> None:
    assert node.package("serf").is_installed
    assert node.service("serf").is_running and node.service("serf").is_enabled


def test_serf_runs_as_its_own_user_without_rights(node: Any) -> None:
    pid = node.check_output("systemctl show -p MainPID --value serf")
    assert node.check_output(f"ps -o user:32= -p {pid}") == "_serf"
    assert "CapEff:\t0000000000000000" in node.file(f"/proc/{pid}/status").content_string


def test_files_belong_to_whom_they_should(node: Any) -> None:
    wanted = {
        SETTINGS: ("root", "_serf", 0o640),
        "/etc/systemd/system/serf.service.d/10-push-jobs.conf": ("root", "root", 0o644),
        "/etc/chef/push-jobs-client.yml": ("root", "push-jobs-client", 0o640),
    }
    found = {path: node.file(path) for path in wanted}
    assert {path: (file.user, file.group, file.mode) for path, file in found.items()} == wanted


def test_the_public_key_is_for_everybody(hosts: Dict[str, Any]) -> None:
    files = [hosts[BOTH].file("/etc/push-jobs-server/serf.pub"), hosts[ALONE].file(KEY)]
    assert [(file.user, file.mode) for file in files] == [("root", 0o644)] * 2
    assert files[0].content_string == files[1].content_string
    assert not hosts[BOTH].file(KEY).exists


def test_programs_reach_serf_from_the_machine_itself_alone(node: Any) -> None:
    lines = [line.split() for line in node.check_output("ss -Hltnp").splitlines()]
    sockets = {words[3] for words in lines if "serf" in words[-1]}
    assert "127.0.0.1:7373" in sockets
    assert {each.rpartition(":")[2] for each in sockets} == {"7373", "7946"}


def test_the_key_of_the_rpc_counts(hosts: Dict[str, Any]) -> None:
    assert hosts[BOTH].run("serf members").rc != 0
    assert hosts[ALONE].run("serf members").rc == 0


def test_all_have_their_names_in_chef(node: Any, name: str) -> None:
    dna = json.loads(node.check_output("cat /tmp/kitchen/dna.json"))
    assert dna["push_jobs"]["chef"]["node_name"] == name
    alive = dict.fromkeys(ADDRESSES, "alive")
    wait_long(lambda: _members(node, name) == alive, "the cluster to be complete")
    assert json.loads(node.file(SETTINGS).content_string)["node_name"] == name


def test_the_cluster_is_encrypted(node: Any, name: str) -> None:
    stats = node.check_output(f"serf info -format=json -rpc-auth='{RPC_KEYS[name]}'")
    assert json.loads(stats)["serf"]["encrypted"] == "true"


def test_a_secret_stays_in_the_files_that_hold_it(node: Any) -> None:
    secrets = ("key of the lab", "a2V5IGZvciB0aGUgbGFiIQ==")
    journal = node.check_output("journalctl --no-pager")
    assert not [each for each in secrets if each in journal]


def test_the_log_tells_of_the_sessions(node: Any, name: str, api: ShoveyApi) -> None:
    text = node.check_output(f"journalctl -u {SESSION} --no-pager")
    assert "connected to the Serf agent" in text
    assert ("connected to the server" in text) == (name == BOTH)
    assert "Traceback" not in text
    assert "joined: 1" in node.check_output("journalctl -u serf --no-pager") or name == BOTH


def test_settings_of_both_kinds_pass_the_agents_own_check(node: Any, name: str) -> None:
    checked = node.run("pushy-client --check")
    assert checked.rc == 0 and "no mistake found" in checked.stdout
    settings = node.file("/etc/chef/push-jobs-client.yml").content_string
    assert "shovey_url" in settings and ("chef_server_url" in settings) == (name == BOTH)


# Jobs


def test_nodes_are_up(api: ShoveyApi, name: str) -> None:
    assert api.status(name) == "up"


def test_a_job_of_the_shovey_api_has_output_and_exit_code(api: ShoveyApi) -> None:
    run = api.run("say", ALONE)
    assert (run["status"], run["exit_status"]) == ("failed", 3)
    assert (run["stdout"], run["stderr"]) == (f"{ALONE}\n", "oops\n")
    assert api.run("both", ALONE)["status"] == "succeeded"


def test_a_name_that_is_not_listed_is_refused(api: ShoveyApi, alice: Operator) -> None:
    assert api.run("reboot", ALONE)["status"] == "nacked"
    assert alice.run("reboot", ALONE).code == 7


def test_the_command_line_runs_the_same_job_over_serf(api: ShoveyApi, alice: Operator) -> None:
    told = alice.run("say", ALONE)
    assert told.code == 3, told
    assert told.printed("stdout") == [f"{ALONE}\n"] and told.printed("stderr") == ["oops\n"]


def test_one_job_for_both_kinds_of_nodes(api: ShoveyApi, alice: Operator) -> None:
    alice.wait_available(BOTH, ALONE)
    told = alice.run("both", BOTH, ALONE)
    assert told.code == 0, told
    assert told.printed() == ["of both\n"] * 2


# Changes


def _converge(machine: Any, **push_jobs: Any) -> None:
    done = machine.converge(**push_jobs)
    assert done.rc == 0, done.stdout


def _runs(api: ShoveyApi, node: str) -> bool:
    """Whether a job gets to a node; while its Serf agent or the server's is away, none does."""
    try:
        return bool(api.run("both", node)["status"] == "succeeded")
    except AssertionError:
        return False


def test_a_changed_whitelist_counts_without_a_restart(peer: Any, api: ShoveyApi) -> None:
    before = [peer.pid(unit) for unit in UNITS]
    assert all(before)
    _converge(peer, whitelist={"new": "echo fresh"})
    assert api.run("new", ALONE)["stdout"] == "fresh\n"
    _converge(peer, whitelist={"new": False})
    assert api.run("new", ALONE)["status"] == "nacked"
    assert [peer.pid(unit) for unit in UNITS] == before


def test_a_job_over_serf_may_restart_serf_and_nothing_else(peer: Any, api: ShoveyApi) -> None:
    before = [peer.pid(unit) for unit in UNITS]
    peer.prepare(serf={"settings": {"tags": {"role": "peer"}}})
    run = api.run("converge", ALONE)
    assert run["status"] == "succeeded", run
    assert "restart service service[serf]" in run["stdout"]
    after = [peer.pid(unit) for unit in UNITS]
    assert after[0] != before[0] and after[1:] == before[1:]
    wait_long(lambda: _runs(api, ALONE), "a job after that")


def test_the_server_finds_its_serf_agent_again(machine: Any, api: ShoveyApi) -> None:
    units = ("serf", "push-jobs-server", SESSION)
    before = [machine.pid(unit) for unit in units]
    _converge(machine, serf={"settings": {"tags": {"role": "server"}}})
    after = [machine.pid(unit) for unit in units]
    assert after[0] != before[0] and after[1:] == before[1:]
    wait_long(lambda: _runs(api, ALONE), "a job after that")


def test_mistakes_stop_the_converge_before_anything_is_changed(peer: Any, api: ShoveyApi) -> None:
    before = peer.pid("serf")
    done = peer.converge(serf={"encrypt_key": "short", "bind": "eth0"})
    assert done.rc != 0
    assert "nothing was changed, because of 2 problems" in done.stdout
    assert peer.pid("serf") == before
    assert api.run("both", ALONE)["status"] == "succeeded"
