"""Unmodified knife 18.6 with knife-push 2.0.1 drives our server.

It comes through the nginx of packaging/ and TLS; people, nodes, groups and node search are those of
chef-zero, in one test of goiardi; server and agents are ours. Not run against the real program:
Chef Infra Server, for which these two stand; chef-zero checks no signatures.
"""

from __future__ import annotations

import json
import os
import pwd
import re
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest
from api_desk import key_of
from beside_chef import Beside, open_beside, open_beside_chef_zero
from chef_servers import ChefZero, Goiardi
from house import ADMIN, ORG, Done
from knife import Knife
from lossy_relay import LossyRelay

pytestmark = pytest.mark.e2e

OTHER_ORG = "other"
UP, DOWN = ("db1", "web1", "web2"), "web3"
SOMEBODY = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
"""As whom a job may run; only root can become somebody else."""

Place = Beside[ChefZero]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Three nodes that are up and one that is down; bob of this organization, carol of another."""
    with open_beside_chef_zero(tmp_path_factory.mktemp("knife")) as place:
        chef = place.chef
        chef.create_user("bob", ORG)
        chef.create_org(OTHER_ORG)
        chef.create_user("carol", OTHER_ORG)
        chef.set_group(OTHER_ORG, "admins", users=("carol",))
        for node in (*UP, DOWN):
            chef.create_client(ORG, node)
            body = {"name": node, "chef_environment": node[:-1]}
            chef.must("POST", f"/organizations/{ORG}/nodes", body)
        for node in UP:
            key = key_of(node)
            place.house.add_agent(node, whitelist(place, node), key, allowed_users=[SOMEBODY])
        yield place


def whitelist(place: Place, node: str) -> Dict[str, Any]:
    here = 'echo "$COLOUR in $PWD as $(id -un)"; echo careful >&2'
    entries: Dict[str, Any] = {
        "hello": ["echo", "hello"],
        "fail": ["false"],
        "sleep": ["sleep", "60"],
        "show": ["sh", "-c", here],
        "file": ["sh", "-c", 'cat "$CHEF_PUSH_JOB_FILE"'],
        "wait": ["sh", "-c", f"until [ -e {gate(place)} ]; do sleep 0.05; done"],
        "once": ["sh", "-c", f"echo ran >> {place.folder}/runs"],
    }
    return entries if node.startswith("web") else {"hello": entries["hello"]}


def gate(place: Place) -> Path:
    return place.folder / "gate"


@pytest.fixture(scope="module")
def knife(place: Place) -> Knife:
    """The administrator's."""
    return place.knife(ADMIN, key_of(ADMIN))


@pytest.fixture(autouse=True)
def ready(request: pytest.FixtureRequest) -> None:
    """Each test that has the place finds its nodes available, and no job that may end."""
    if "place" in request.fixturenames:
        place: Place = request.getfixturevalue("place")
        gate(place).unlink(missing_ok=True)
        place.house.wait_available(*UP)


@pytest.fixture
def set_group(place: Place) -> Iterator[Callable[..., None]]:
    """Makes or changes a group of the Chef server; all of them are gone after the test."""
    groups = f"/organizations/{ORG}/groups"
    with ExitStack() as stack:

        def make(name: str, **members: Any) -> None:
            if place.chef.call("GET", f"{groups}/{name}").status == 404:
                stack.callback(place.chef.must, "DELETE", f"{groups}/{name}")
            place.chef.set_group(ORG, name, **members)

        yield make


def start(knife: Knife, *words: str) -> Done:
    """``knife job start`` to the end of the job."""
    return knife("job", "start", *words, "--poll-interval", "0.3")


def plain(text: str) -> str:
    """What knife printed, without what differs: the id (one), times, states on the way, dots."""
    assert len(set(re.findall("[0-9a-f]{32}", text))) == 1, text
    text = re.sub("[0-9a-f]{32}", "ID", text)
    text = re.sub(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "TIME", text)
    text = re.sub(r"(?m)^\.+(Voting\.|Running \(\d+/\d+ in progress\) \.\.\.)\n", "", text)
    return re.sub(r"(?m)^\.+(?=[A-Z])", "", text)


def job_id(done: Done) -> str:
    found = re.match(r"Started\.  Job ID: ([0-9a-f]{32})\n", done.out)
    assert found, done
    return found[1]


def ended(command: str, state: str, nodes: str, run_timeout: int = 3600) -> str:
    """The text of a job without options, from its start to its end."""
    return (
        f"Started.  Job ID: ID\n{state.capitalize()}.\n"
        f"command:     {command}\ncreated_at:  TIME\nenv:\nid:          ID\n"
        f"nodes:\n{nodes}run_timeout: {run_timeout}\nstatus:      {state}\nupdated_at:  TIME\n"
    )


# job start


def test_nodes_by_name(knife: Knife) -> None:
    done = start(knife, "hello", "web1", "db1")
    nodes = "  succeeded:\n    web1\n    db1\n"
    assert (plain(done.out), done.code) == (ended("hello", "complete", nodes), 0)


def test_nodes_by_search_and_a_quorum_in_percent(knife: Knife) -> None:
    # 50 % of three nodes are two; node arguments don't count beside a search.
    done = start(knife, "hello", "db1", "-s", "chef_environment:web AND name:web*", "-q", "50%")
    nodes = "  succeeded:\n    web1\n    web2\n  unavailable: web3\n"
    assert (plain(done.out), done.code) == (ended("hello", "complete", nodes), 0)


def test_a_quorum_as_a_count_and_a_node_that_refuses(knife: Knife) -> None:
    done = start(knife, "show", "web1", "db1", DOWN, "-q", "1")
    nodes = "  nacked:      db1\n  succeeded:   web1\n  unavailable: web3\n"
    assert (plain(done.out), done.code) == (ended("show", "complete", nodes), 0)


def test_all_nodes_are_the_quorum_unless_told_otherwise(knife: Knife) -> None:
    done = start(knife, "hello", "web1", DOWN)
    nodes = "  unavailable: web3\n  was_ready:   web1\n"
    assert (plain(done.out), done.code) == (ended("hello", "quorum_failed", nodes), 1)


@pytest.mark.proves("A-21")
def test_a_quorum_beyond_the_number_of_nodes(knife: Knife) -> None:
    done = start(knife, "hello", "web1", "db1", "-q", "3")
    nodes = "  was_ready:\n    web1\n    db1\n"
    assert (plain(done.out), done.code) == (ended("hello", "quorum_failed", nodes), 1)


def test_a_command_that_no_node_permits(knife: Knife) -> None:
    done = start(knife, "reboot", "web1")
    expected = ended("reboot", "quorum_failed", "  nacked: web1\n")
    assert (plain(done.out), done.code) == (expected, 1)


def test_a_command_that_fails(knife: Knife) -> None:
    done = start(knife, "fail", "web1")
    assert plain(done.out) == ended("fail", "complete", "  failed: web1\n")
    assert done.code == 1


def test_a_timeout(knife: Knife) -> None:
    done = start(knife, "sleep", "web1", "--timeout", "3")
    assert "Running (1/1 in progress) ...\n" in done.out
    assert plain(done.out) == ended("sleep", "timed_out", "  timed_out: web1\n", 3)
    assert done.code == 1


@pytest.mark.proves("A-12a")
def test_capture_environment_directory_and_user(knife: Knife) -> None:
    options = ("--in-dir", "/", "--as-user", SOMEBODY, "--with-env", '{"COLOUR": "blå"}')
    done = start(knife, "show", "web1", "--capture", *options)
    assert plain(done.out) == (
        "Started.  Job ID: ID\nComplete.\n"
        "capture_output: true\ncommand:        show\ncreated_at:     TIME\ndir:            /\n"
        "env:\n  COLOUR: blå\nid:             ID\nnodes:\n  succeeded: web1\n"
        "run_timeout:    3600\nstatus:         complete\nupdated_at:     TIME\n"
        f"user:           {SOMEBODY}\n"
    )
    assert done.code == 0
    printed = knife("job", "output", job_id(done), "web1")
    assert (printed.out, printed.code) == (f"blå in / as {SOMEBODY}\n\n", 0)
    warned = knife("job", "output", job_id(done), "web1", "--channel", "stderr")
    assert (warned.out, warned.code) == ("careful\n\n", 0)


@pytest.mark.proves("A-12a")
def test_a_file(knife: Knife, tmp_path: Path) -> None:
    file = tmp_path / "sent"
    file.write_text("grüße\r\n\n$(id)")
    done = start(knife, "file", "web2", "--file", str(file), "--capture")
    assert plain(done.out) == (
        "Started.  Job ID: ID\nComplete.\n"
        "capture_output: true\ncommand:        file\ncreated_at:     TIME\nenv:\n"
        "file_specified: true\nid:             ID\nnodes:\n  succeeded: web2\n"
        "run_timeout:    3600\nstatus:         complete\nupdated_at:     TIME\n"
    )
    assert done.code == 0
    printed = knife("job", "output", job_id(done), "web2")
    assert (printed.out, printed.code) == ("grüße\r\n\n$(id)\n", 0)


def test_a_job_that_nobody_waits_for(place: Place, knife: Knife) -> None:
    done = knife("job", "start", "wait", "web1", "--nowait")
    assert (plain(done.out), done.code) == ("Started.  Job ID: ID\n", 0)
    running = knife("job", "status", job_id(done))
    text = ended("wait", "running", "  running: web1\n").split("Running.\n")[1]
    assert (plain(running.out), running.code) == (text, 0)
    gate(place).touch()
    assert place.house.wait_job(job_id(done))["status"] == "complete"


# job list, job status, job output, node status


@pytest.mark.proves("A-11b")
def test_jobs_are_listed_and_shown(knife: Knife) -> None:
    first, last = (job_id(knife("job", "start", "reboot", "web1", "-b")) for _ in range(2))
    listed = knife("job", "list")
    assert listed.code == 0
    # One after the other with an empty line between them, and no nodes.
    jobs = listed.out.strip("\n").split("\n\n")
    ids = [plain_id for job in jobs for plain_id in re.findall(r"(?m)^id: +(\w{32})$", job)]
    assert len(ids) == len(jobs) and ids.index(first) < ids.index(last)
    job = jobs[ids.index(first)]
    assert re.match(r"command: +reboot\ncreated_at: .* GMT\nenv:\nid: ", job)
    assert "nodes:" not in listed.out
    shown = knife("job", "status", first, "-F", "json")
    assert shown.code == 0
    keys = "id command status run_timeout created_at updated_at env nodes"
    found = json.loads(shown.out)
    assert set(found) == set(keys.split())
    assert (found["nodes"], found["env"]) == ({"nacked": ["web1"]}, {})


@pytest.mark.proves("A-15b")
def test_output_that_nobody_captured_and_output_that_is_empty(knife: Knife) -> None:
    empty = start(knife, "hello", "web1", "--capture")
    printed = knife("job", "output", job_id(empty), "web1", "--channel", "stderr")
    assert (printed.out, printed.code) == ("\n", 0)
    done = start(knife, "hello", "web1")
    refused = knife("job", "output", job_id(done), "web1")
    assert (refused.out, refused.code) == ("", 100)
    assert "ERROR: The object you are looking for could not be found\n" in refused.err
    assert "Response: no output of this node and job is stored\n" in refused.err


def test_the_status_of_nodes(knife: Knife) -> None:
    connected = knife("node", "status")
    assert connected.out == "".join(f"{node}\tavailable\n" for node in UP)
    named = knife("node", "status", DOWN, "db1", "never-seen")
    assert named.out == f"{DOWN}\tunavailable\ndb1\tavailable\nnever-seen\tunavailable\n"
    assert (connected.code, named.code) == (0, 0)


# Refusals


def check_no_access(place: Place, user: str, refused: Done) -> None:
    url = f"{place.house.address}/organizations/{ORG}"
    assert (refused.out, refused.code) == ("", 100)
    assert (
        f"ERROR: You authenticated successfully to {url} as {user}"
        " but you are not authorized for this action.\n"
        f"Response:  User or client '{user}' does not have access to that action on this server.\n"
    ) in refused.err


def test_whoever_is_no_administrator_may_look_but_start_nothing(place: Place) -> None:
    bob = place.knife("bob", key_of("bob"))
    check_no_access(place, "bob", bob("job", "start", "hello", "web1"))
    assert bob("job", "list").code == 0


@pytest.mark.proves("A-8a", "A-8b")
def test_a_member_of_a_group_in_the_group_of_writers_starts_jobs_and_an_administrator_none(
    place: Place, knife: Knife, set_group: Callable[..., None]
) -> None:
    set_group("operators", users=("bob",))
    set_group("pushy_job_writers", groups=("operators",))
    done = start(place.knife("bob", key_of("bob")), "hello", "web1")
    assert plain(done.out) == ended("hello", "complete", "  succeeded: web1\n")
    assert done.code == 0
    check_no_access(place, ADMIN, knife("job", "start", "hello", "web1"))


@pytest.mark.proves("A-8a", "A-8b")
def test_only_members_of_the_group_of_readers_may_look_once_there_is_one(
    place: Place, knife: Knife, set_group: Callable[..., None]
) -> None:
    bob = place.knife("bob", key_of("bob"))
    assert (knife("job", "list").code, bob("job", "list").code) == (0, 0)
    set_group("pushy_job_readers")
    check_no_access(place, ADMIN, knife("job", "list"))
    check_no_access(place, "bob", bob("job", "list"))
    set_group("pushy_job_readers", users=("bob",))
    assert bob("job", "list").code == 0
    check_no_access(place, ADMIN, knife("job", "list"))


def test_a_key_that_is_not_ones_own(place: Place) -> None:
    refused = place.knife(ADMIN, key_of("bob"))("job", "list")
    assert (refused.out, refused.code) == ("", 100)
    assert f"ERROR: Failed to authenticate to {place.house.url} as {ADMIN}" in refused.err


def test_organizations_do_not_see_one_another(place: Place, knife: Knife) -> None:
    ours = job_id(knife("job", "start", "hello", "web1", "--nowait"))
    carol = place.knife("carol", key_of("carol"), org=OTHER_ORG)
    assert carol("job", "list").out.strip() == ""
    unknown = carol("job", "status", ours)
    assert (unknown.out, unknown.code) == ("", 100)
    assert "Response: there is no such job in this organization\n" in unknown.err
    # The node of this name is another organization's.
    done = start(carol, "hello", "web1")
    expected = ended("hello", "quorum_failed", "  unavailable: web1\n")
    assert (plain(done.out), done.code) == (expected, 1)
    stranger = place.knife("carol", key_of("carol"))("job", "status", ours)
    assert (stranger.out, stranger.code) == ("", 100)
    assert f"Response:  'carol' is not associated with organization '{ORG}'\n" in stranger.err


def test_a_request_that_we_refuse_as_wrong(knife: Knife) -> None:
    done = start(knife, "hello", "web1", "--with-env", '{"A=B": "x"}')
    # It hides our reason, tries without the new keys, and then says what it would lose.
    assert "WARNING: Falling back to Push Jobs v1 mode.\n" in done.err
    assert "ERROR: Sending Environment attributes isn't possible for Push Jobs 1.0\n" in done.err
    assert (done.out, done.code) == ("", 1)


# Other surroundings


def test_a_request_repeated_after_a_lost_answer_starts_one_job(place: Place) -> None:
    host, port = place.push.split(":")
    with closing(LossyRelay((host, int(port)))) as relay:
        nginx = place.proxy("nginx-lossy", f"127.0.0.1:{relay.port}")
        relay.to_lose = 1
        knife = place.knife(ADMIN, key_of(ADMIN), address=nginx.url, retries=2)
        done = start(knife, "once", "web1")
        assert plain(done.out) == ended("once", "complete", "  succeeded: web1\n")
    assert "Server returned error 502" in done.err
    first, second = relay.posts
    assert first == second and b'"command":"once"' in first
    with place.house.client() as client:
        assert [job.id for job in client.jobs(command="once")] == [job_id(done)]
    assert (place.folder / "runs").read_text() == "ran\n"


def test_people_and_nodes_of_goiardi(
    goiardi: Goiardi, unique: Callable[[str], str], tmp_path: Path
) -> None:
    asker, node, user = unique("pushjobs"), unique("web"), unique("operator")
    settings: Dict[str, Any] = {
        "chef.user": asker,
        "chef.organizations": json.dumps([f"{ORG}={goiardi.url}"]),
        "chef.root_admins": json.dumps([ADMIN]),
    }
    keys = (goiardi.admin_key(), goiardi.create_client(asker))
    with open_beside(tmp_path, goiardi, *keys, **settings) as place:
        place.house.add_agent(node, {"hello": ["echo", "hello"]}, goiardi.create_client(node))
        place.house.wait_available(node)
        done = start(place.knife(ADMIN, goiardi.admin_key()), "hello", node)
        assert plain(done.out) == ended("hello", "complete", f"  succeeded: {node}\n")
        refused = place.knife(user, goiardi.create_user(user))("job", "start", "hello", node)
        assert refused.code == 100 and f"User or client '{user}' does not have" in refused.err
