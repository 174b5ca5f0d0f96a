"""A node with a real Chef server: it registers itself, and its agent logs in with that very key.

The Chef server is chef-zero, on the node of our server. Cookbook, role and environment come from
it; our server asks it who nodes and people are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import built_packages
import kitchen
import pytest
from lab import image
from lab.network import Lab
from lab.node import Node
from peer import Missing, installed, skip

NODE, OPERATOR = "registered", "operator"
PATIENCE = 60.0

_FILL = """
require 'chef'
require 'chef/cookbook_loader'
require 'chef/cookbook_uploader'
key = '/var/tmp/any.pem'
server = 'http://127.0.0.1:8889'
old = { client_name: 'pivotal', signing_key_filename: key, api_version: '0' }
root = Chef::ServerAPI.new(server, old)
root.post('organizations', { name: 'acme', full_name: 'acme' })
url = "#{server}/organizations/acme"
org = Chef::ServerAPI.new(url, old)
org.post('clients', { name: 'operator', public_key: ::File.read('/var/tmp/operator.pub') })
actors = { users: [], clients: ['operator'], groups: [] }
org.put('groups/admins', { groupname: 'admins', actors: actors })
org.post('roles', JSON.parse(::File.read('/opt/integration/roles/webserver.json')))
org.post('environments', JSON.parse(::File.read('/opt/integration/environments/production.json')))
Chef::Config[:node_name] = 'pivotal'
Chef::Config[:client_key] = key
Chef::Config[:chef_server_url] = url
cookbooks = Chef::CookbookLoader.new('/opt/cookbooks')
cookbooks.load_cookbooks
rest = Chef::ServerAPI.new(url, client_name: 'pivotal', signing_key_filename: key)
Chef::CookbookUploader.new(cookbooks.values, rest: rest).upload_cookbooks
"""

_CLIENT = f"""chef_server_url 'http://{kitchen.HUB_ADDRESS}:8889/organizations/acme'
node_name '{NODE}'
validation_client_name 'acme-validator'
validation_key '/etc/chef/validation.pem'
chef_license 'accept-no-persist'
log_level :warn
"""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of ``condition``; fails after a while."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE} s in vain for {what}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """An empty lab."""
    try:
        if os.geteuid():
            raise Missing("nodes that boot a real systemd need root")
        for program, package in (
            ("/usr/bin/systemd-nspawn", "systemd-container"),
            ("/usr/bin/mmdebstrap", "mmdebstrap"),
            ("/usr/bin/dh", "debhelper"),
        ):
            installed(program, package)
        if not (kitchen.gem_set("chef", kitchen.ROOT) / "installed").exists():
            raise Missing("no Ruby programs 'chef'; scripts/test installs them")
    except Missing as reason:
        skip(reason)
    made = Lab(f"push-jobs-chef-{os.getpid()}", tmp_path_factory.mktemp("chef"))
    made.up()
    yield made
    made.down()


def _new_key() -> str:
    words = ["openssl", "genrsa", "-traditional", "2048"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def operator_key(lab: Lab) -> Path:
    """The private key of somebody who may start jobs, as the Chef server says."""
    file = lab.folder / "operator.pem"
    file.touch(0o600)
    file.write_text(_new_key())
    return file


@pytest.fixture(scope="module")
def chef_server(lab: Lab, operator_key: Path) -> Node:
    """Both servers, with an organization, our cookbook, a role and an environment."""
    settings = ["identity=chef", "chef.url=http://127.0.0.1:8889", "chef.user=pivotal"]
    made = kitchen.hub(lab, *settings, chef_key=_new_key(), layers=[kitchen.chef_layer()])
    made.put(kitchen.ROOT / "cookbooks", "/opt")
    made.put(kitchen.ROOT / "tests" / "integration", "/opt")
    made.run("sh", "-c", "cat > /var/tmp/any.pem", text=_new_key())
    public = subprocess.run(
        ["openssl", "rsa", "-in", operator_key, "-pubout"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    made.run("sh", "-c", "cat > /var/tmp/operator.pub", text=public)
    words = "/opt/chef/bin/chef-zero --multi-org --host 0.0.0.0 --port 8889"
    made.run("systemd-run", "--unit=chef-zero", *words.split())
    wait_until(lambda: "8889" in made.run("ss", "-Hltn"), "the Chef server to listen")
    ruby = "GEM_HOME=/opt/chef/gems GEM_PATH=/opt/chef/gems ruby -"
    made.run("sh", "-c", ruby, text=_FILL)
    return made


@pytest.fixture(scope="module")
def node(lab: Lab, chef_server: Node) -> Node:
    """A node that has nothing but the address of its Chef server and the validator's key."""
    made = lab.add(NODE, [kitchen.chef_layer(), image.base(print)])
    made.write("/etc/chef/client.rb", _CLIENT)
    made.write("/etc/chef/validation.pem", _new_key(), 0o600)
    made.write("/etc/chef/trusted_certs/push.crt", (lab.folder / "ca.crt").read_text())
    kitchen.plain(built_packages.packages(), made.upper / "opt" / "packages")
    made.boot()
    return made


def test_a_node_registers_itself_and_takes_jobs_under_that_name(
    lab: Lab, node: Node, operator_key: Path
) -> None:
    server = f"https://{kitchen.HUB_ADDRESS}:10003/organizations/acme"
    attributes = {
        "push_jobs": {
            "local_package_path": "/opt/packages",
            "chef": {"chef_server_url": server},
        },
        "run_list": ["role[webserver]", "recipe[push-jobs]"],
    }
    node.run("sh", "-c", "cat > /etc/chef/first.json", text=json.dumps(attributes))
    converge = (
        "chef-client --no-color --environment production --json-attributes /etc/chef/first.json"
    )
    assert "Infra Phase complete" in node.run("sh", "-c", converge)
    again = node.run("sh", "-c", converge)
    assert "Infra Phase complete, 0/" in again
    whitelist = json.loads(node.run("cat", "/etc/chef/push-jobs-whitelist.json"))
    assert (whitelist["from-role"], whitelist["from-environment"]) == (
        "echo role",
        "echo environment",
    )
    wait_until(lambda: _start(lab, server, operator_key, "from-role").returncode == 0, "a job")
    refused = _start(lab, server, operator_key, "from-node")
    assert refused.returncode == 7, refused


def _start(lab: Lab, server: str, key: Path, command: str) -> "subprocess.CompletedProcess[str]":
    program = str(Path(sys.executable).parent / "push-jobs")
    who = ["--server", server, "--user", OPERATOR, "--key", str(key)]
    words = [program, *who, "--ca", str(lab.folder / "ca.crt"), "job", "start", command, NODE]
    return subprocess.run(
        list(map(str, lab.inside(words))), capture_output=True, text=True, check=False
    )
