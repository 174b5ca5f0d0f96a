"""A job that runs the Chef client, which changes the agent that runs the job."""

from __future__ import annotations

from typing import Any

from outside import wait_long

NODE = "self"
LATER = "0.2.0"
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"


def _succeeded(told: Any) -> Any:
    """A refusal just means that the session has not met the new runner yet."""
    assert told.code in (0, 7), told
    return told if told.code == 0 else None


def test_a_converge_as_a_job_changes_whitelist_and_package_and_succeeds(
    host: Any, machine: Any, operator: Any
) -> None:
    operator.wait_available(NODE)
    runner = machine.pid(RUNNER)
    machine.prepare(local_package_path="/opt/packages-later", whitelist={"added": "echo by itself"})
    told = operator.run("converge", NODE)
    assert told.code == 0, told
    (output,) = told.printed()
    assert "Infra Phase complete" in output
    assert LATER in host.check_output("pushy-client --version")
    # The runner could not go before its job had ended; now it does, and by itself.
    wait_long(lambda: machine.pid(RUNNER) not in (0, runner), "the runner to start again")
    again = wait_long(lambda: _succeeded(operator.run("added", NODE)), "the new entry")
    assert again.printed() == ["by itself\n"]
    shown = operator.push_jobs("node", "show", NODE)
    assert LATER in shown.out
