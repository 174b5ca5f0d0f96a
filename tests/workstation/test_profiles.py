"""Flags win over variables, variables over a profile; all mistakes are named at once."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest
from stub_certificates import make_ca, pem_of, user_key

from push_jobs.errors import UsageError
from push_jobs.profiles import merge
from push_jobs.target import find_target

URL = "https://push.example.com:10003/organizations/acme"

CONFIG = f"""
default: production
profiles:
  production:
    server: {URL}
    user: alice
    key: alice.pem
    fingerprint: "{'0f:' * 31}0f"
  staging:
    server: https://staging.example.com/organizations/acme
    user: bob
    key: ~/bob.pem
    ca: /etc/push-jobs/ca.pem
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for configuration; ``write`` puts the file there."""
    (tmp_path / "push-jobs").mkdir()
    return tmp_path


def write(home: Path, text: str) -> Dict[str, str]:
    """Write the profile file and return an environment that leads to it."""
    (home / "push-jobs" / "config.yml").write_text(text, "utf-8")
    return {"XDG_CONFIG_HOME": str(home)}


def problems(home: Path, text: str, **variables: str) -> str:
    """Return all that is wrong."""
    return "\n".join(merge({}, {**write(home, text), **variables}).problems)


def test_the_default_profile_counts(home: Path) -> None:
    merged = merge({}, write(home, CONFIG))
    assert merged.problems == []
    assert merged.values["server"] == URL
    assert merged.values["key"] == str(home / "push-jobs" / "alice.pem")


def test_a_flag_wins_over_a_variable_and_that_over_the_profile(home: Path) -> None:
    environ = {**write(home, CONFIG), "PUSHJOBS_USER": "carol", "PUSHJOBS_KEY": "carol.pem"}
    merged = merge({"user": "dave", "server": None}, environ)
    assert merged.problems == []
    assert merged.values["user"] == "dave"
    assert merged.values["key"] == "carol.pem"
    assert merged.values["server"] == URL


def test_the_profile_is_chosen_by_flag_then_variable_then_default(home: Path) -> None:
    environ = {**write(home, CONFIG), "PUSHJOBS_PROFILE": "staging"}
    assert merge({}, environ).values["user"] == "bob"
    assert merge({"profile": "production"}, environ).values["user"] == "alice"


def test_a_ca_file_replaces_the_fingerprint_of_the_profile(home: Path) -> None:
    merged = merge({"ca": "other.pem"}, write(home, CONFIG))
    assert merged.problems == []
    assert merged.values["ca"] == "other.pem"
    assert "fingerprint" not in merged.values


def test_an_empty_variable_counts_as_absent(home: Path) -> None:
    assert merge({}, {**write(home, CONFIG), "PUSHJOBS_USER": ""}).values["user"] == "alice"


def test_without_anything_it_says_exactly_what_to_set(tmp_path: Path) -> None:
    (text,) = merge({}, {"XDG_CONFIG_HOME": str(tmp_path)}).problems
    for name in ("server", "user", "key"):
        assert f"--{name}" in text and f"PUSHJOBS_{name.upper()}" in text
    assert str(tmp_path / "push-jobs" / "config.yml") in text
    assert "PUSHJOBS_CA" not in text


def test_profiles_that_could_be_chosen_are_named(home: Path) -> None:
    text = problems(home, CONFIG.replace("default: production", ""))
    assert "choose a profile" in text and "production, staging" in text


def test_an_unknown_profile_is_named_with_those_that_are_there(home: Path) -> None:
    text = problems(home, CONFIG, PUSHJOBS_PROFILE="prodction")
    assert "'prodction'" in text and "production, staging" in text


def test_all_mistakes_of_the_file_are_named_at_once(home: Path) -> None:
    text = problems(
        home,
        """
default: nowhere
profils: {}
profiles:
  one: {sever: x, user: 7, ca: a, fingerprint: b}
  two: [1]
""",
    )
    assert "'profils' is unknown; did you mean 'profiles'?" in text
    assert "'profiles.one.sever' is unknown; did you mean 'server'?" in text
    assert "'profiles.one.user' is not text" in text
    assert "'profiles.one' has both 'ca' and 'fingerprint'" in text
    assert "'profiles.two' is not a named mapping" in text
    assert "names the profile 'nowhere'" in text


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("profiles: [", "is not YAML in line"),
        ("- a", "is not a mapping"),
        ("profiles: 3", "'profiles' is not a mapping"),
        ("default: [a]", "'default' is not the name"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("\x07", "is not YAML"),
    ],
)
def test_a_file_that_is_no_profile_file(home: Path, content: str, complaint: str) -> None:
    assert complaint in problems(home, content)


def test_a_file_that_is_not_utf_8(home: Path) -> None:
    environ = write(home, "")
    (home / "push-jobs" / "config.yml").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in "\n".join(merge({}, environ).problems)


def test_a_file_that_cannot_be_read(home: Path) -> None:
    (home / "push-jobs" / "config.yml").mkdir()
    text = "\n".join(merge({}, {"XDG_CONFIG_HOME": str(home)}).problems)
    assert "cannot be read: Is a directory" in text


def test_wrong_values_from_everywhere_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("nothing")
    environ = {
        "XDG_CONFIG_HOME": str(tmp_path),
        "PUSHJOBS_SERVER": "http://push.example.com/organizations/acme",
        "PUSHJOBS_KEY": str(tmp_path / "bad.pem"),
        "PUSHJOBS_CA": str(tmp_path / "none.pem"),
    }
    with pytest.raises(UsageError) as caught:
        find_target({}, environ)
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "PUSHJOBS_USER" in text
    assert "is not https" in text
    assert f"the key in {tmp_path / 'bad.pem'} cannot be used" in text
    assert f"cannot read the CA file {tmp_path / 'none.pem'}: No such file or directory" in text


@pytest.mark.parametrize(
    "url, complaint",
    [
        ("push.example.com", "does not begin with https://"),
        ("ftp://push.example.com/organizations/acme", "does not begin with https://"),
        ("https://push.example.com", "does not end in /organizations/ORG"),
        ("https://push.example.com/organizations/acme/pushy", "does not end in"),
        ("https://a:b@push.example.com/organizations/acme", "has more in it"),
        ("https://push.example.com/organizations/acme?x=1", "has more in it"),
        ("https://push.example.com:port/organizations/acme", "is not a URL"),
        ("https:///organizations/acme", "does not name a host"),
        ("https://a b/organizations/acme", "does not name a host"),
        ("https://[::1/organizations/acme", "is not a URL"),
        ("http://192.0.2.1/organizations/acme", "is not https"),
        ("http://localhost.example.com/organizations/acme", "is not https"),
    ],
)
def test_refused_server_urls(tmp_path: Path, url: str, complaint: str) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "PUSHJOBS_SERVER": url}
    with pytest.raises(UsageError) as caught:
        find_target({}, environ)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080"])
def test_plain_http_is_accepted_on_this_machine_only(tmp_path: Path, host: str) -> None:
    flags = {"server": f"http://{host}/organizations/acme", "user": "alice"}
    with pytest.raises(UsageError) as caught:
        find_target(flags, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert "https" not in "\n".join(caught.value.problems[:-1])
    assert "--key" in caught.value.problems[-1]


def test_a_key_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    key = tmp_path / "alice.pem"
    key.write_bytes(pem_of(user_key()))
    make_ca(tmp_path)
    flags = {"server": URL, "user": "alice", "key": str(key), "ca": str(tmp_path / "ca.pem")}
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    key.chmod(0o640)
    (warning,) = find_target(flags, environ).warnings
    assert str(key) in warning and "0640" in warning and "chmod 600" in warning
    key.chmod(0o600)
    assert find_target(flags, environ).warnings == []
