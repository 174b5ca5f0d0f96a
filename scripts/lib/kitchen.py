"""Runs Test Kitchen inside the lab, and boots and removes the nodes for it. See scripts/kitchen.

The lab belongs to this clone and stays until ``destroy``, so that a suite can be converged again
and looked at. Beside the nodes of the suites it has one more, the hub, with a server of ours.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

import built_packages
import yaml
from build_cache import place
from lab import image, old_client
from lab.commands import LabError
from lab.network import Lab
from lab.node import Node
from ruby_sets import NotInstalled, ruby_set

from push_jobs_server.keys import new_key_pair

ROOT = Path(__file__).resolve().parents[2]
LATER = "0.2.0"
"""The version that the suites upgrade to."""

ORG, ADMIN = "acme", "alice"
MIGRATE = "migrate"
"""The suite whose node has the old client before it gets our cookbook."""
SERVERS = {"serf-peer": "serf"}
"""Nodes whose server is not the hub but the node of another suite."""
HUB, HUB_ADDRESS = "hub", "10.77.0.10"
SERVER = f"https://{HUB_ADDRESS}:10003/organizations/{ORG}"
_PUBLIC = "/run/node.pub"
_DATA = "/var/lib/push-jobs-server"
_AS_SERVER = ("runuser", "-u", "push-jobs-server", "--", "push-jobs-server")
_SSH_CONFIG = """Host *
  IdentityFile {folder}/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ControlMaster auto
  ControlPath {folder}/ssh-%h
  ControlPersist 20
"""
_ACTIONS = ("list", "create", "converge", "verify", "login", "test", "destroy")


def the_lab() -> Lab:
    """The lab of this clone."""
    key = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    return Lab(f"push-jobs-{key}", place("kitchen", key))


def say(text: str) -> None:
    """Tell whoever waits what is being done."""
    print(text, file=sys.stderr, flush=True)


def prepare() -> None:
    """Make what needs this machine's network, which the lab does not have."""
    image.base(say)
    chef_layer()
    old_client_layer()
    for version in (None, LATER):
        built_packages.packages(version)


def chef_layer() -> Path:
    """The layer with Chef's client."""
    return image.with_gems("chef", ruby_set("chef").folder, ("chef-client", "chef-zero"))


def old_client_layer() -> Path:
    """The layer with the push client that ended in 2020."""
    return image.with_gems("ruby-client", ruby_set("ruby-client").folder, ("pushy-client",))


# The hub


def hub(lab: Lab, *settings: str, chef_key: str = "", layers: Sequence[Path] = ()) -> Node:
    """The node with the server, made when it is not there.

    Args:
        settings: of the server, as NAME=VALUE.
        chef_key: with which the server asks a Chef server, where one knows the identities.
        layers: of the node, above the base.
    """
    node = lab.node(HUB)
    if node.pid is not None:
        return node
    if node.address:
        node.remove()
    say("starting a server on a node of its own")
    node = lab.add(HUB, [*layers, image.base(say)], HUB_ADDRESS)
    node.boot()
    node.put(plain(built_packages.packages(), lab.folder / "packages"), "/opt")
    node.run("sh", "-c", "dpkg -i /opt/packages/*.deb")
    node.run("sh", "-c", f"mkdir -p /run/first && chown push-jobs-server {_DATA} /run/first")
    who = ["--org", ORG, "--admin", ADMIN, "--host", HUB_ADDRESS]
    chosen = [word for setting in settings for word in ("--set", setting)]
    node.run(*_AS_SERVER, "init", *who, *chosen, "--admin-key", "/run/first/key")
    if chef_key:
        install = f"install -m 600 -o push-jobs-server /dev/stdin {_DATA}/chef.pem"
        node.run("sh", "-c", install, text=chef_key)
    node.run("systemctl", "start", "push-jobs-server")
    (lab.folder / "ca.crt").write_text(node.run("cat", f"{_DATA}/ca.crt"))
    key = lab.folder / "admin.pem"
    key.touch(0o600)
    key.write_text(node.run("cat", "/run/first/key"))
    return node


def plain(packages: Path, folder: Path) -> Path:
    """The packages alone, in a folder of that name."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for deb in packages.glob("*.deb"):
        shutil.copy(deb, folder)
    return folder


def register(node: Node, name: str) -> str:
    """Make a client at the server of ``node``; returns its private key."""
    pair = new_key_pair()
    script = f"{' '.join(_AS_SERVER)} client delete {name} --org {ORG} >/dev/null 2>&1 || true"
    node.run("sh", "-c", script)
    create = f"{' '.join(_AS_SERVER)} client create {name} --org {ORG} --public-key {_PUBLIC}"
    node.run("sh", "-c", f"cat >{_PUBLIC} && {create}", text=pair.public)
    return pair.private.decode("ascii")


# Nodes of suites


def definition(name: str) -> Dict[str, Any]:
    """A file of Kitchen, with what Ruby would put into it left out."""
    parsed: Dict[str, Any] = yaml.safe_load(re.sub(r"<%=.*?%>", "ruby", (ROOT / name).read_text()))
    return parsed


def suites() -> Dict[str, str]:
    """The suites, each with the address of its node."""
    return {suite["name"]: suite["driver"]["host"] for suite in definition("kitchen.yml")["suites"]}


def boot(suite: str) -> None:
    """Make the node of a suite, registered and with packages, and boot it."""
    lab = the_lab()
    if lab.node(suite).address:
        lab.node(suite).remove()
    server = lab.node(SERVERS[suite]) if suite in SERVERS else hub(lab)
    private = register(server, suite)
    layers = [chef_layer(), image.base(say)]
    if suite == MIGRATE:
        layers.insert(0, old_client_layer())
    node = lab.add(suite, layers, suites()[suite])
    node.write("/etc/chef/client.pem", private, 0o600)
    node.write("/etc/chef/trusted_certs/push.crt", server.run("cat", f"{_DATA}/ca.crt"))
    if suite in SERVERS:
        node.write("/etc/chef/serf.pub", server.run("cat", "/etc/push-jobs-server/serf.pub"))
    for folder, version in (("packages", None), ("packages-later", LATER)):
        plain(built_packages.packages(version), node.upper / "opt" / folder)
    node.boot()
    if suite == MIGRATE:
        old_client.install(node, SERVER)


# Kitchen


def operator_variables(lab: Lab) -> Dict[str, str]:
    """How push-jobs finds the hub, as its administrator."""
    return {
        "PUSHJOBS_SERVER": SERVER,
        "PUSHJOBS_USER": ADMIN,
        "PUSHJOBS_KEY": str(lab.folder / "admin.pem"),
        "PUSHJOBS_CA": str(lab.folder / "ca.crt"),
    }


def environment(lab: Lab) -> Dict[str, str]:
    """The variables for Kitchen, its hooks and the tests that it starts."""
    for_ruby = ruby_set("chef").environment().items()
    return {
        **{name: text for name, text in for_ruby if not name.startswith("PUSHJOBS_")},
        **operator_variables(lab),
        "PUSHJOBS_LAB_KEY": str(lab.folder / "key"),
        "PUSHJOBS_LAB": str(lab.folder),
        "PUSHJOBS_PYTHON": sys.executable,
        "KITCHEN_LOG_OVERWRITE": "true",
    }


def kitchen(lab: Lab, action: str, names: Sequence[str]) -> int:
    """Run one action of Kitchen on the nodes of some suites."""
    wanted = "|".join(f"{name}-debian-12" for name in names)
    words = [*ruby_set("chef").command("kitchen"), action, f"^({wanted})$"]
    return subprocess.run(
        list(map(str, lab.inside(words))), cwd=ROOT, env=environment(lab), check=False
    ).returncode


def test(lab: Lab, name: str) -> int:
    """Everything for one suite; its nodes stay when it failed, to be looked at."""
    names, began = members(name), time.monotonic()
    # Kitchen's own test takes one node after the other; nodes that belong together have to meet.
    actions = ("test",) if len(names) == 1 else ("destroy", "converge", "verify", "destroy")
    code = 0
    for action in actions:
        code = code or kitchen(lab, action, names)
    result = "passed" if code == 0 else "FAILED"
    say(f"suite {name}: {result} in {time.monotonic() - began:.0f} s")
    return code


def members(name: str) -> List[str]:
    """The suites whose nodes are looked at together."""
    return [each for each in suites() if each in (name, f"{name}-peer")]


def main(words: Sequence[str]) -> int:
    """Run one action; returns the exit code."""
    action, names = words[0], list(words[1:])
    lab = the_lab()
    if action in ("boot", "remove"):
        (name,) = names
        boot(name) if action == "boot" else lab.node(name).remove()
        return 0
    if action not in _ACTIONS:
        say(f"error: no action {action!r}; there are: {', '.join(_ACTIONS)}")
        return 2
    known = [name for name in suites() if not name.endswith("-peer")]
    unknown = [name for name in names if name not in known]
    if unknown:
        say(f"error: no suite {', '.join(unknown)}; there are: {', '.join(known)}")
        return 2
    if action == "destroy" and not names:
        lab.down()
        shutil.rmtree(ROOT / ".kitchen", ignore_errors=True)
        return 0
    prepare()
    lab.up()
    hub(lab)
    (lab.folder / "ssh_config").write_text(_SSH_CONFIG.format(folder=lab.folder))
    if action == "test":
        codes = {name: test(lab, name) for name in names or known}
        return max(codes.values())
    return kitchen(lab, action, [each for name in names or known for each in members(name)])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (LabError, built_packages.BuildFailed, NotInstalled) as error:
        say(f"error: {error}")
        sys.exit(1)
