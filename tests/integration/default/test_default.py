"""recipe[push-jobs] on a fresh node: installed, running, reachable, no more open than needed."""

from __future__ import annotations

from typing import Any

import pytest

NODE = "default"
SESSION = "chef-push-jobs-client"
RUNNER = "chef-push-jobs-runner"
SETTINGS = "/etc/chef/push-jobs-client.yml"
WHITELIST = "/etc/chef/push-jobs-whitelist.json"


def test_the_package_is_installed(host: Any) -> None:
    assert host.package("push-jobs-agent").is_installed
    assert host.run("pushy-client --version").rc == 0


@pytest.mark.parametrize("unit", [SESSION, RUNNER])
def test_both_services_run_and_will_after_a_reboot(host: Any, unit: str) -> None:
    service = host.service(unit)
    assert service.is_running and service.is_enabled


def test_the_session_has_no_rights_and_the_runner_has(host: Any) -> None:
    users = {
        unit: host.check_output(f"ps -o user:32= -p $(systemctl show -p MainPID --value {unit})")
        for unit in (SESSION, RUNNER)
    }
    assert users == {SESSION: "push-jobs-client", RUNNER: "root"}


@pytest.mark.parametrize(
    "path, user, group, mode",
    [
        (SETTINGS, "root", "push-jobs-client", 0o640),
        (WHITELIST, "root", "root", 0o644),
        ("/etc/chef/client.pem", "root", "root", 0o600),
        ("/var/lib/push-jobs-client/runner.sock", "root", "push-jobs-client", 0o660),
    ],
)
def test_files_belong_to_whom_they_should(
    host: Any, path: str, user: str, group: str, mode: int
) -> None:
    file = host.file(path)
    assert (file.user, file.group, file.mode) == (user, group, mode)


def test_the_agent_listens_nowhere(host: Any) -> None:
    sockets = host.check_output("ss -Hltnp")
    assert "pushy" not in sockets and "python" not in sockets


def test_its_log_is_the_journal(host: Any) -> None:
    text = host.check_output(f"journalctl -u {SESSION} --no-pager")
    assert "connected to the server" in text
    assert "Traceback" not in text


def test_the_settings_pass_the_agents_own_check(host: Any) -> None:
    checked = host.run("pushy-client --check")
    assert checked.rc == 0 and "no mistake found" in checked.stdout


def test_the_command_that_is_listed_runs_and_another_is_refused(operator: Any) -> None:
    operator.wait_available(NODE)
    listed = operator.push_jobs("node", "show", NODE)
    assert "chef-client" in listed.out
    refused = operator.run("reboot", NODE)
    assert refused.code == 7, refused
