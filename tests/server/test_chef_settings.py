"""Settings of identity ``chef``: where organizations are, mistakes, commands not for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
import yaml
from api_desk import key_of
from chef_servers import private_pem
from server_commands import HOST, Commands, copy_of

from push_jobs_server.identity.base import IdentityError
from push_jobs_server.identity.chef_places import Place, Places
from push_jobs_server.settings import TABLE
from push_jobs_wire.settings import SettingsError

GOOD: Dict[str, Any] = {"url": "https://chef.example.com", "user": "pushjobs"}


def mistakes(**chef: Any) -> List[str]:
    """What is wrong with these settings."""
    try:
        TABLE.parse({"identity": "chef", "chef": chef}, "test", "/")
    except SettingsError as error:
        return error.problems
    return []


def test_local_is_the_default() -> None:
    assert TABLE.parse({}, "test")["identity"] == "local"


def test_organizations_are_at_one_server_or_elsewhere() -> None:
    places = Places(
        "https://chef.example.com:8443/base/",
        [
            "goiardi=https://goiardi.example.com",
            "deep=https://goiardi.example.com/chef/",
            "corp=https://other.example.com/organizations/corporation",
        ],
    )
    found: Dict[str, Optional[Place]] = {
        "acme": Place("https://chef.example.com:8443/base/organizations/acme"),
        "goiardi": Place("https://goiardi.example.com", root=True),
        "deep": Place("https://goiardi.example.com/chef", root=True),
        "corp": Place("https://other.example.com/organizations/corporation"),
        "..": None,
        "a/b": None,
        "Acme": None,
    }
    assert {name: places.find(name) for name in found} == found
    assert Places(None, ["one=https://goiardi.example.com"]).find("two") is None


def test_pieces_of_a_path_are_encoded() -> None:
    place = Place("https://chef.example.com/organizations/acme")
    assert place.at("principals", "a/b?ü") == place.url + "/principals/a%2Fb%3F%C3%BC"
    assert place.at() == place.url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chef.example.com",
        "ftp://chef.example.com",
        "https://",
        "https://chef.example.com:x",
        "https://chef.example.com:99999",
        "https://[::1",
        "https://chef.example.com/?a=b",
        "https://chef.example.com/#a",
        "https://chef.example.com//a",
        "https://chef.example.com/../a",
        "https://chef.example.com/{org}",
        "https://chef.example.com/a b",
        "https://chef.example.com/ü",
        "http://chef.example.com",
        "http://192.0.2.1",
        "http://127.0.0.1.example.com",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(IdentityError):
        Places(url, [])
    assert len(mistakes(**{**GOOD, "organizations": [f"acme={url}"]})) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://chef.example.com",
        "https://192.0.2.1:8443/",
        "https://[2001:db8::1]/base",
        "http://localhost:8889",
        "http://127.0.0.1:8889",
        "http://[::1]:8889",
    ],
)
def test_urls_that_are_taken(url: str) -> None:
    assert mistakes(**{**GOOD, "url": url, "organizations": [f"acme={url}"]}) == []


def test_a_password_in_a_url_is_refused_and_not_shown() -> None:
    (problem,) = mistakes(**{**GOOD, "url": "https://me:hidden@chef.example.com"})
    assert problem.startswith("chef.url: ") and "hidden" not in problem


@pytest.mark.parametrize("text", ["acme", "Acme=https://a.example.com", "=https://a.example.com"])
def test_organizations_of_a_wrong_form_are_named(text: str) -> None:
    (problem,) = mistakes(**{**GOOD, "organizations": [text]})
    assert problem.startswith("chef.organizations: ")


def test_an_organization_can_not_be_given_twice() -> None:
    twice = ["acme=https://a.example.com", "acme=https://b.example.com"]
    assert mistakes(**{**GOOD, "organizations": twice}) == [
        "chef.organizations: organization 'acme' is given twice"
    ]


def test_what_identity_chef_needs() -> None:
    assert mistakes(url=GOOD["url"]) == [
        "identity is chef, so chef.user is needed: as whom to ask the Chef server"
    ]
    assert mistakes(user="pushjobs") == [
        "identity is chef, so chef.url is needed, or chef.organizations: whom to ask"
    ]
    assert mistakes(user="pushjobs", organizations=["acme=https://a.example.com"]) == []


# Commands


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to copy: making one takes half a second."""
    from push_jobs_server import data

    folder = tmp_path_factory.mktemp("template") / "data"
    data.init(data.Plan(folder, (HOST,), "acme", "alice"), time.time())
    return folder


@pytest.fixture
def run(tmp_path: Path, template: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    """Commands about a server that takes identities from a Chef server."""
    made = Commands(copy_of(template, tmp_path / "data"), capsys)
    file = made.data_dir / "settings.yml"
    settings = yaml.safe_load(file.read_text()) or {}
    file.write_text(yaml.safe_dump({**settings, "identity": "chef", "chef": GOOD}))
    return made


def write_key(run: Commands, content: bytes, mode: int = 0o600) -> None:
    """Write the key file of the settings."""
    path = run.data_dir / "chef.pem"
    path.write_bytes(content)
    path.chmod(mode)


def test_check_config_looks_at_the_key(run: Commands) -> None:
    assert f"chef.key: cannot read {run.data_dir}/chef.pem" in run("check-config").err
    write_key(run, b"nonsense")
    assert f"chef.key: {run.data_dir}/chef.pem: the private key" in run("check-config").err
    write_key(run, private_pem(key_of("pushjobs")), 0o644)
    assert "chef.pem is open to other users" in run("check-config").err
    write_key(run, private_pem(key_of("pushjobs")))
    assert run("check-config").code == 0


@pytest.mark.parametrize("user", [" pushjobs", "pushjobs "])
def test_check_config_tries_to_sign(run: Commands, user: str) -> None:
    write_key(run, private_pem(key_of("pushjobs")))
    file = run.data_dir / "settings.yml"
    settings = yaml.safe_load(file.read_text())
    settings["chef"]["user"] = user
    file.write_text(yaml.safe_dump(settings))
    assert "chef.user and chef.key: user id" in run("check-config").err


def test_check_config_looks_at_the_ca(run: Commands) -> None:
    write_key(run, private_pem(key_of("pushjobs")))
    file = run.data_dir / "settings.yml"
    settings = yaml.safe_load(file.read_text())
    settings["chef"]["ca"] = "chef-ca.pem"
    file.write_text(yaml.safe_dump(settings))
    assert f"cannot read {run.data_dir}/chef-ca.pem" in run("check-config").err
    (run.data_dir / "chef-ca.pem").write_text("nonsense")
    assert "chef-ca.pem holds no certificate" in run("check-config").err
    (run.data_dir / "chef-ca.pem").write_bytes((run.data_dir / "ca.crt").read_bytes())
    assert run("check-config").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["org", "list"],
        ["org", "create", "other"],
        ["user", "list"],
        ["user", "create", "bob"],
        ["client", "list"],
        ["client", "create", "web"],
        ["group", "list"],
    ],
)
def test_commands_for_local_identities_say_so(run: Commands, words: List[str]) -> None:
    text = run.bad(*words)
    assert "this command is for local identities only" in text
    assert "managed at the Chef server" in text


def test_init_can_make_a_server_that_asks_a_chef_server(
    tmp_path: Path, capsys: "pytest.CaptureFixture[str]"
) -> None:
    made = Commands(tmp_path / "data", capsys)
    chef = ["--set=identity=chef", f"--set=chef.url={GOOD['url']}", "--set=chef.user=pushjobs"]
    out = made.good("init", "--org", "acme", "--admin", "alice", "--host", HOST, *chef)
    assert f"put the private key of pushjobs into {made.data_dir}/chef.pem" in out
    assert "alice is not used" in out
    assert "client create" not in out
