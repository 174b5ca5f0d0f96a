"""A node that ran the old client gets our cookbook: same name, same key, same jobs, one agent."""

from __future__ import annotations

from typing import Any

NODE = "migrate"
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"


def test_the_old_client_ran_here_before(host: Any) -> None:
    log = host.file("/var/log/chef/push-jobs-client.log").content_string
    assert "Connecting to command channel" in log, log[-2000:]


def test_the_old_client_is_gone(host: Any) -> None:
    assert not host.package("push-jobs-client").is_installed
    assert not host.file("/opt/push-jobs-client/bin/pushy-client").exists
    assert not host.file("/etc/systemd/system/chef-push-jobs-client.service").exists
    assert "ruby" not in host.check_output("ps -eo comm")


def test_ours_runs_under_its_unit_name(host: Any, machine: Any) -> None:
    assert host.service(SESSION).is_running and host.service(SESSION).is_enabled
    program = host.check_output(f"tr '\\0' ' ' < /proc/{machine.pid(SESSION)}/cmdline")
    assert "/usr/bin/pushy-client" in program
    assert host.service(RUNNER).is_running


def test_the_server_sees_one_node_with_its_name_and_its_jobs(operator: Any) -> None:
    operator.wait_available(NODE)
    shown = operator.push_jobs("node", "show", NODE).out
    assert "can run        chef-client, hello" in shown, shown
    told = operator.run("hello", NODE)
    assert told.code == 0 and told.printed() == ["hello\n"]
