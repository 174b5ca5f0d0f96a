"""Attributes with mistakes: the converge stops before it changed anything, and says all of it."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import pytest

NODE = "invalid"
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"
FILES = "/etc/chef/push-jobs-client.yml /etc/chef/push-jobs-whitelist.json"


@pytest.mark.parametrize(
    "attributes, words",
    [
        ({"whitelist": "chef-client"}, ("whitelist",)),
        ({"whitelist": {"x": 7}}, ("whitelist", "x")),
        ({"whitelist": {"/(/": "true"}}, ("/(/",)),
        ({"whitelist": {"x": {"command_line": "true", "colour": "red"}}}, ("colour",)),
        ({"chef": {"chef_server_url": "https://push.example.com"}}, ("/organizations/",)),
        ({"logging_level": "loud"}, ("loud",)),
        ({"package_url": "https://example.com/a.deb", "package_checksum": None}, ("checksum",)),
        ({"chef": {"client_key_path": "/nowhere.pem"}}, ("/nowhere.pem",)),
        (
            {"logging_level": "loud", "whitelist": {"x": 7}, "chef": {"client_key_path": "/no"}},
            ("loud", "x", "/no"),
        ),
    ],
)
def test_mistakes_stop_the_converge_and_the_old_agent_goes_on(
    host: Any, machine: Any, attributes: Dict[str, Any], words: Tuple[str, ...]
) -> None:
    before = [machine.pid(unit) for unit in (SESSION, RUNNER)], host.check_output(f"md5sum {FILES}")
    assert all(before[0])
    done = machine.converge(**attributes)
    assert done.rc != 0
    for word in words:
        assert word in done.stdout + done.stderr
    after = [machine.pid(unit) for unit in (SESSION, RUNNER)], host.check_output(f"md5sum {FILES}")
    assert after == before


def test_after_all_that_the_node_still_takes_jobs(operator: Any) -> None:
    operator.wait_available(NODE)
    assert operator.run("no-such-job", NODE).code == 7
