"""One job of all: knife starts it, an unmodified Ruby push client and our agent run it.

Everybody comes through the nginx of packaging/ and TLS, and is known from chef-zero alone: who
starts the job, and both nodes with their keys.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator

import pytest
from api_desk import key_of
from beside_chef import Beside, open_beside_chef_zero
from chef_servers import ChefZero
from house import ADMIN, ORG
from knife import Knife
from peer import Missing, skip
from ruby_client import add_ruby_client

pytestmark = pytest.mark.e2e

Place = Beside[ChefZero]

RUBY, OURS = "ruby1", "web1"
HELLO = 'echo "hello from $CHEF_PUSH_NODE_NAME"; echo "careful, $CHEF_PUSH_NODE_NAME" >&2'
ENDED = (
    r"Started\.  Job ID: ([0-9a-f]{32})\n"
    r"(?:\.+(?:Voting\.|Running \([12]/2 in progress\) \.\.\.)\n)*\.*Complete\.\n"
    r"capture_output: true\ncommand:        hello\ncreated_at:     .* GMT\nenv:\n"
    r"id:             \1\nnodes:\n  succeeded:\n    ruby1\n    web1\n"
    r"run_timeout:    3600\nstatus:         complete\nupdated_at:     .* GMT\n"
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A node of either kind, whose client is made in chef-zero and nowhere else."""
    with open_beside_chef_zero(tmp_path) as place, ExitStack() as stack:
        for node in (RUBY, OURS):
            place.chef.create_client(ORG, node)
        try:
            ruby = add_ruby_client(place.house, RUBY, {"hello": HELLO}, key_of(RUBY))
        except Missing as reason:
            skip(reason)
        stack.callback(ruby.stop)
        place.house.add_agent(OURS, {"hello": ["sh", "-c", HELLO]}, key_of(OURS))
        place.house.wait_available(RUBY, OURS)
        yield place


def test_knife_runs_a_job_on_a_ruby_client_and_on_our_agent(place: Place) -> None:
    knife = place.knife(ADMIN, key_of(ADMIN))
    words = ("hello", RUBY, OURS, "--capture", "--poll-interval", "0.3")
    done = knife("job", "start", *words)
    ended = re.fullmatch(ENDED, done.out)
    assert ended and done.code == 0, done
    for node in (RUBY, OURS):
        check_output(knife, ended[1], node)
    states = knife("node", "status")
    assert (states.out, states.code) == (f"{RUBY}\tavailable\n{OURS}\tavailable\n", 0)
    check_settings_came_through(place)


def check_output(knife: Knife, job_id: str, node: str) -> None:
    """Both channels of a node are there; knife ends them with a line end of its own."""
    printed = knife("job", "output", job_id, node)
    assert (printed.out, printed.code) == (f"hello from {node}\n\n", 0)
    warned = knife("job", "output", job_id, node, "--channel", "stderr")
    assert (warned.out, warned.code) == (f"careful, {node}\n\n", 0)


def check_settings_came_through(place: Place) -> None:
    """Both nodes have asked nginx for their settings, and our server took their keys for right."""
    asked = (place.folder / "nginx" / "access.log").read_text()
    for node in (RUBY, OURS):
        wanted = rf'"GET /organizations/{ORG}/pushy/config/{node}\?\S* HTTP/1\.1" 200 '
        assert re.search(wanted, asked), asked
