"""A node with a real Chef server: it registers itself, and its agent logs in with that very key.

The Chef server is chef-zero, on the node of our server. Cookbook, role and environment come from
it; our server asks it who nodes and people are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import built_packages
import kitchen
import pytest
from lab import image
from lab.network import Lab
from lab.node import Node
from labs import main_pid, new_lab
from outside import Operator, Told, wait_long
from stub_certificates import write_private

from push_jobs_server.keys import KeyPair, new_key_pair

NODE, OPERATOR = "registered", "operator"
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"

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


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """An empty lab."""
    with new_lab("chef", "chef") as made:
        yield made


def _new_key() -> str:
    """For those whose signatures chef-zero does not check, or who make their own later."""
    return new_key_pair().private.decode("ascii")


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    """The keys of somebody who may start jobs, as the Chef server says."""
    return new_key_pair()


@pytest.fixture(scope="module")
def operator_key(lab: Lab, pair: KeyPair) -> Path:
    """His private key."""
    file = lab.folder / "operator.pem"
    write_private(file, pair.private)
    return file


@pytest.fixture(scope="module")
def chef_server(lab: Lab, pair: KeyPair) -> Node:
    """Both servers, with an organization, our cookbook, a role and an environment."""
    # chef-zero's answers about principals are not right, its lists of keys are.
    chef = ["chef.url=http://127.0.0.1:8889", "chef.user=pivotal", "chef.key_lists=true"]
    settings = ["identity=chef", *chef, "heartbeat_interval=1"]
    made = kitchen.hub(lab, *settings, chef_key=_new_key(), layers=[kitchen.chef_layer()])
    made.put(kitchen.ROOT / "cookbooks", "/opt")
    made.put(kitchen.ROOT / "tests" / "integration", "/opt")
    made.run("sh", "-c", "cat > /var/tmp/any.pem", text=_new_key())
    made.run("sh", "-c", "cat > /var/tmp/operator.pub", text=pair.public)
    words = "/opt/chef/bin/chef-zero --multi-org --host 0.0.0.0 --port 8889"
    made.run("systemd-run", "--unit=chef-zero", *words.split())
    wait_long(lambda: "8889" in made.run("ss", "-Hltn"), "the Chef server to listen")
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
    attributes = {
        "push_jobs": {
            "local_package_path": "/opt/packages",
            "chef": {"chef_server_url": kitchen.SERVER},
        },
        "run_list": ["role[webserver]", "recipe[push-jobs]"],
    }
    node.run("sh", "-c", "cat > /etc/chef/first.json", text=json.dumps(attributes))
    converge = (
        "chef-client --no-color --environment production --json-attributes /etc/chef/first.json"
    )
    assert "Infra Phase complete" in node.run("sh", "-c", converge)
    # What Chef keeps of the node is all that it needs from now on.
    assert "Infra Phase complete, 0/" in node.run("chef-client", "--no-color")
    whitelist = json.loads(node.run("cat", "/etc/chef/push-jobs-whitelist.json"))
    assert (whitelist["from-role"], whitelist["from-environment"]) == (
        "echo role",
        "echo environment",
    )
    wait_long(lambda: _start(lab, operator_key, "from-role").code == 0, "a job")
    refused = _start(lab, operator_key, "from-node")
    assert refused.code == 7, refused


def test_the_key_that_the_agent_signs_with_is_the_one_at_the_chef_server(
    chef_server: Node, node: Node
) -> None:
    public = node.run("openssl", "rsa", "-in", "/etc/chef/client.pem", "-pubout")
    assert _chef(chef_server, f"clients/{NODE}/keys/default")["public_key"] == public


def test_a_role_that_is_changed_there_counts_with_the_next_converge(
    lab: Lab, chef_server: Node, node: Node, operator_key: Path
) -> None:
    before = [main_pid(node, unit) for unit in (SESSION, RUNNER)]
    assert _start(lab, operator_key, "from-later").code == 7
    role = _chef(chef_server, "roles/webserver")
    role["default_attributes"]["push_jobs"]["whitelist"]["from-later"] = "echo later"
    _chef(chef_server, "roles/webserver", role)
    node.run("chef-client", "--no-color")
    told = _start(lab, operator_key, "from-later")
    assert told.code == 0, told
    assert [main_pid(node, unit) for unit in (SESSION, RUNNER)] == before


def test_a_client_that_is_deleted_there_gets_in_no_more(
    lab: Lab, chef_server: Node, node: Node, operator_key: Path
) -> None:
    _chef(chef_server, f"clients/{NODE}", method="DELETE")
    node.run("systemctl", "restart", SESSION)
    told = _start(lab, operator_key, "from-role")
    assert told.code != 0, told
    journal = ["journalctl", "-u", SESSION, "--no-pager", "-n", "50"]
    refusal = f"refuses the signature of {NODE}"
    wait_long(lambda: refusal in node.run(*journal), "the refusal in the agent's journal")


def _chef(server: Node, path: str, body: Any = None, method: str = "") -> Any:
    """Look at something of the organization at the Chef server, or change it."""
    method = method or ("GET" if body is None else "PUT")
    headers = "-H X-Ops-UserId:pivotal -H Content-Type:application/json -H Accept:application/json"
    address = f"http://127.0.0.1:8889/organizations/acme/{path}"
    words = ["curl", "--fail", "--silent", "-X", method, *headers.split(), address]
    data = [] if body is None else ["--data-binary", "@-"]
    text = "" if body is None else json.dumps(body)
    return json.loads(server.run(*words, *data, text=text))


def _start(lab: Lab, key: Path, command: str) -> Told:
    who = {"PUSHJOBS_USER": OPERATOR, "PUSHJOBS_KEY": str(key)}
    operator = Operator({**kitchen.operator_variables(lab), **who}, lab.inside)
    return operator.run(command, NODE)
