"""Settings of the agent: where they come from, what is refused, and that all mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

from push_jobs_agent import config, ruby_file
from push_jobs_agent.config import Config, load
from push_jobs_wire.settings import SettingsError

URL = "https://push.example.test/organizations/acme"


def settings_file(folder: Path, text: str, name: str = "agent.yml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def problems(path: str, **options: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load(path, options)
    return "\n".join(caught.value.problems)


def test_a_file_is_read_and_the_rest_has_defaults(tmp_path: Path) -> None:
    path = settings_file(
        tmp_path, f"chef_server_url: {URL}\nnode_name: web1\nallowed_users: [deploy]\n"
    )
    found = load(path, {})
    assert found.organization == "acme" and found.node_name == "web1"
    assert found["allowed_users"] == ("deploy",)
    assert found["whitelist"] == "/etc/chef/push-jobs-whitelist.json"
    assert found["state_dir"] == "/var/lib/push-jobs-client"
    assert found["max_body_size"] == 63000
    assert found.source == path and found.notes == ()


def test_options_go_before_the_file(tmp_path: Path) -> None:
    path = settings_file(tmp_path, f"chef_server_url: {URL}\nnode_name: web1\nlog_level: warn\n")
    found = load(path, {"node_name": "web2", "log_level": None})
    assert (found.node_name, found["log_level"]) == ("web2", "warn")


def test_paths_belong_to_where_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = settings_file(tmp_path, f"chef_server_url: {URL}\nclient_key: keys/web1.pem\n")
    monkeypatch.chdir("/")
    found = load(path, {"whitelist": "w.json"})
    assert found["client_key"] == str(tmp_path / "keys/web1.pem")
    assert found["whitelist"] == "/w.json"


def test_the_node_is_named_after_its_host_when_nothing_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getfqdn", lambda: "web9.example.test")
    assert load(None, {"chef_server_url": URL}, str(tmp_path)).node_name == "web9.example.test"


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    path = settings_file(
        tmp_path,
        "chef_server_url: https://push.example.test/\n"
        "node_name: we b1\n"
        "max_body_size: large\n"
        "drain_timeout: -1\n"
        "whitelst: /w.json\n"
        "force_plain: true\n",
    )
    text = problems(path, log_level="loud")
    for part in (
        "expected an address that holds /organizations/ORG",
        "node_name is 'we b1'",
        "max_body_size is 'large'",
        "drain_timeout is -1",
        "did you mean 'whitelist'?",
        "force_plain needs allow_unencrypted",
        "log_level is 'loud'",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://push.example.test/organizations/acme", "https://"),
        ("http://127.0.0.1.example.test/organizations/acme", "https://"),
        ("ftp://push.example.test/organizations/acme", "https://"),
        ("https:///organizations/acme", "https://"),
        ("https://push.example.test", "/organizations/ORG"),
        ("https://push.example.test/organizations/", "/organizations/ORG"),
        ("https://me:pw@push.example.test/organizations/acme", "more than a host"),
        ("https://push.example.test/organizations/acme?x=1", "more than a host"),
        ("push.example.test/organizations/acme", "expected a url"),
    ],
)
def test_a_server_address_that_is_not_usable_is_refused(
    tmp_path: Path, url: str, fault: str
) -> None:
    assert fault in problems(settings_file(tmp_path, f"chef_server_url: '{url}'\n"))


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "https://push.example.test:8443//organizations//acme/",
        "http://localhost:8080/organizations/acme",
        "http://127.0.0.1/organizations/acme",
        "http://[::1]:9/organizations/acme",
    ],
)
def test_usable_server_addresses_are_taken(tmp_path: Path, url: str) -> None:
    found = load(settings_file(tmp_path, f"chef_server_url: '{url}'\n"), {})
    assert found.organization == "acme"


def test_a_missing_server_address_is_said_so(tmp_path: Path) -> None:
    assert "chef_server_url is missing" in problems(settings_file(tmp_path, "node_name: web1\n"))
    with pytest.raises(SettingsError, match="the command line: chef_server_url is missing"):
        load(None, {}, str(tmp_path))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1\nb: 2\n", "line 2: no YAML"),
        ("a: 1\n\tb: 2\n", "line 2: no YAML"),
        ("- a\n- b\n", "KEY: VALUE"),
        ("just text\n", "KEY: VALUE"),
        ("a: !!python/object:os.system {}\n", "line 1: no YAML"),
        ("a: \x07\n", "no YAML"),
    ],
)
def test_a_file_that_is_no_yaml_is_refused_with_its_line(
    tmp_path: Path, text: str, fault: str
) -> None:
    assert fault in problems(settings_file(tmp_path, text))


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in problems(str(tmp_path / "missing.yml"))
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    assert "no UTF-8" in problems(str(tmp_path / "binary.yml"))


def test_files_are_searched_in_the_old_order(tmp_path: Path) -> None:
    def chosen() -> str:
        return Path(str(config.find(str(tmp_path)))).name

    assert config.find(str(tmp_path)) is None
    for name in (
        "client.rb",
        "client.yml",
        "push-jobs-client.rb",
        "push-jobs-client.yml",
        "chef-push-client.rb",
        "chef-push-client.yml",
    ):
        settings_file(tmp_path, f"chef_server_url: {URL}\n", name)
        assert chosen() == name


RUBY = f"""# rendered by the cookbook
chef_server_url '{URL}'
node_name       "web1"
client_key('/etc/chef/client.pem')   # the key
log_level :auto
log_location STDOUT
max_body_size 50000
allow_unencrypted true
whitelist({{"chef-client" => "chef-client"}})
file_dir "/tmp/#{{name}}"
system('touch {{marker}}')
ssl_verify_mode :verify_none
Mixlib::Log::Formatter.show_time = true
if true
  node_name 'inner'
end
"""


def test_an_old_ruby_file_is_read_by_its_plain_lines_and_never_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = settings_file(tmp_path, RUBY.replace("{marker}", str(marker)), "client.rb")
    found = load(path, {})
    assert found["chef_server_url"] == URL and found["client_key"] == "/etc/chef/client.pem"
    assert found["max_body_size"] == 50000 and found["allow_unencrypted"] is True
    assert found["log_level"] == "info" and found["log_location"] is None
    assert found["file_dir"] is None
    ignored = {int(note.split()[1]) for note in found.notes}
    assert ignored == {9, 10, 11, 12, 13, 14, 15, 16}
    assert found.node_name == "web1"
    assert not marker.exists()


def test_ignored_lines_say_why() -> None:
    found, notes = ruby_file.read("node_name 'a'\nfoo 'b'\nx = 1\n", {"node_name"})
    assert found == {"node_name": "a"}
    assert notes == [
        "line 2 is ignored: foo is no setting of this agent",
        "line 3 is ignored: it is no plain `key value` line",
    ]


def test_a_wrong_value_in_a_ruby_file_is_a_mistake(tmp_path: Path) -> None:
    path = settings_file(tmp_path, f"chef_server_url '{URL}'\nmax_body_size 5\n", "client.rb")
    assert "max_body_size is 5" in problems(path)


def test_files_that_are_named_but_missing_are_problems_of_a_check(tmp_path: Path) -> None:
    found: Config = load(None, {"chef_server_url": URL, "client_key": "/no/key"}, str(tmp_path))
    assert config.file_problems(found) == ["client_key: /no/key cannot be read"]


def test_passwords_of_proxies_are_not_shown(tmp_path: Path) -> None:
    path = settings_file(
        tmp_path, f"chef_server_url: {URL}\nhttps_proxy: http://me:secret@proxy.test:3128\n"
    )
    shown: Dict[str, Any] = config.TABLE.show(load(path, {}).values)
    assert "secret" not in str(shown)
