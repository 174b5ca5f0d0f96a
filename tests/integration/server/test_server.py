"""recipe[push-jobs::server]: a server that its own node's agent finds, and whose users can work."""

from __future__ import annotations

import json
from typing import Any

from outside import wait_long

UNIT = "push-jobs-server"
ADDRESS = "https://10.77.0.28:10003/organizations/acme"
OPTIONS = (
    f"--server {ADDRESS} --user alice --key /root/push-jobs-alice.pem "
    "--ca /var/lib/push-jobs-server/ca.crt"
)


def test_the_service_runs_as_its_own_user(host: Any, machine: Any) -> None:
    service = host.service(UNIT)
    assert service.is_running and service.is_enabled
    assert host.check_output(f"ps -o user:32= -p {machine.pid(UNIT)}") == "push-jobs-server"


def test_its_data_are_its_own(host: Any) -> None:
    folder = host.file("/var/lib/push-jobs-server")
    assert (folder.user, folder.mode) == ("push-jobs-server", 0o700)
    key = host.file("/root/push-jobs-alice.pem")
    assert (key.user, key.mode) == ("root", 0o600)


def test_the_agent_beside_it_takes_jobs_of_its_administrator(host: Any) -> None:
    def nodes() -> Any:
        listed = host.run(f"push-jobs {OPTIONS} node list --format json")
        return listed.rc == 0 and [each["name"] for each in json.loads(listed.stdout)]

    wait_long(lambda: nodes() == ["server"], "the agent to find the server")
    refused = host.run(f"push-jobs {OPTIONS} job start no-such-job server")
    assert refused.rc == 7
