"""Settings tables: what they take, how they name mistakes, and that secrets stay secret."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from push_jobs_wire.settings import Field, Rule, SettingsError, Table, Values, mask_url


def _sum_is_small(values: Mapping[str, Any]) -> Optional[str]:
    return "count and http.port are too large together" if values["count"] > 70000 else None


TABLE = Table(
    [
        Field("name", "str", None, "A name."),
        Field("count", "int", 3, "A count.", unit="things", minimum=1),
        Field("pause", "float", 1.5, "A pause.", unit="seconds", minimum=0, maximum=60),
        Field("active", "bool", True, "A switch."),
        Field("level", "str", "info", "A | level.", choices=("info", "debug")),
        Field("proxies", "list", [], "Some proxies."),
        Field("password", "str", None, "A secret.", secret=True),
        Field("http.host", "str", "localhost", "A host."),
        Field("http.port", "int", 80, "A port.", minimum=0, maximum=65535),
        Field("http.folder", "path", "html", "A folder."),
        Field("db.url", "url", "sqlite:///x.db", "A database.", secret=True),
    ],
    [Rule(("count", "http.port"), _sum_is_small)],
)


def problems(mapping: Any) -> List[str]:
    with pytest.raises(SettingsError) as caught:
        TABLE.parse(mapping, "settings.yml")
    return caught.value.problems


def test_values_come_from_the_mapping_and_otherwise_from_the_defaults() -> None:
    values = TABLE.parse({"count": 7, "http": {"port": 0}, "proxies": ["a", "b"]}, "x", "/base")
    assert values["count"] == 7 and values["http.port"] == 0
    assert values["proxies"] == ("a", "b")
    assert values["name"] is None and values["active"] is True and values["level"] == "info"
    assert values["http.folder"] == "/base/html"
    assert set(values) == set(TABLE.fields)


@pytest.mark.parametrize("mapping", [None, {}, {"http": None}])
def test_an_empty_file_or_section_means_defaults(mapping: Any) -> None:
    assert dict(TABLE.parse(mapping, "x")) == dict(TABLE.parse({}, "x"))


def test_absolute_paths_stay_and_relative_ones_need_no_base() -> None:
    assert TABLE.parse({"http": {"folder": "/srv"}}, "x", "/base")["http.folder"] == "/srv"
    assert TABLE.parse({}, "x")["http.folder"] == "html"


def test_a_whole_number_is_a_number() -> None:
    pause = TABLE.parse({"pause": 2}, "x")["pause"]
    assert pause == 2.0 and isinstance(pause, float)


@pytest.mark.parametrize(
    "mapping, problem",
    [
        ({"count": "many"}, "count is 'many', expected a whole number of things, at least 1"),
        ({"count": 0}, "count is 0, expected a whole number of things, at least 1"),
        ({"count": True}, "count is true, expected a whole number of things, at least 1"),
        ({"count": 1.0}, "count is 1.0, expected a whole number of things, at least 1"),
        ({"count": None}, "count is empty, expected a whole number of things, at least 1"),
        ({"pause": "10s"}, "pause is '10s', expected a number of seconds from 0 to 60"),
        ({"pause": float("nan")}, "pause is nan, expected a number of seconds from 0 to 60"),
        (
            {"pause": 10**400},
            "pause is 1" + "0" * 59 + "..., expected a number of seconds from 0 to 60",
        ),
        ({"active": "true"}, "active is 'true', expected true or false"),
        ({"level": "loud"}, "level is 'loud', expected one of info, debug"),
        ({"name": ""}, "name is '', expected a text"),
        ({"name": "a\nb"}, "name is 'a\\nb', expected a text"),
        ({"name": "\ud800"}, "name is '\\ud800', expected a text"),
        ({"name": {}}, "name is a section, expected a text"),
        ({"proxies": "a"}, "proxies is 'a', expected a list of texts"),
        ({"proxies": [1]}, "proxies is a list, expected a list of texts"),
        ({"http": 80}, "http is 80, expected a section with host, port, folder"),
        ({"http": {"port": 65536}}, "http.port is 65536, expected a whole number from 0 to 65535"),
        ([1], "expected lines of the form KEY: VALUE, found a list"),
    ],
)
def test_a_mistake_tells_key_value_and_what_is_expected(mapping: Any, problem: str) -> None:
    assert problems(mapping) == [problem]


@pytest.mark.parametrize(
    "mapping, problem",
    [
        ({"cuont": 1}, "unknown key 'cuont'; did you mean 'count'?"),
        ({"PAUSE": 1}, "unknown key 'PAUSE'; did you mean 'pause'?"),
        ({"htpp": {"port": 1}}, "unknown key 'htpp'; did you mean 'http'?"),
        ({"http": {"prot": 1}}, "unknown key 'http.prot'; did you mean 'http.port'?"),
        ({"port": 1}, "unknown key 'port'; did you mean 'http.port'?"),
        ({"http.port": 1}, "unknown key 'http.port': write 'port' below a line 'http:'"),
        ({"zzz": 1}, "unknown key 'zzz'"),
        ({"": 1}, "unknown key ''"),
        ({7: 1}, "unknown key 7"),
        ({"http": {7: 1}}, "unknown key 7 in http"),
    ],
)
def test_an_unknown_key_is_a_mistake_with_the_nearest_name(mapping: Any, problem: str) -> None:
    assert problems(mapping) == [problem]


def test_all_mistakes_are_named_at_once() -> None:
    mapping = {"count": "x", "pause": -1, "nmae": "y", "http": {"port": "z", "hots": 1}, "db": 1}
    with pytest.raises(SettingsError) as caught:
        TABLE.parse(mapping, "/etc/settings.yml")
    assert len(caught.value.problems) == 6
    lines = str(caught.value).splitlines()
    assert lines[0] == "/etc/settings.yml has 6 mistakes:"
    assert lines[1:] == [f"  {problem}" for problem in caught.value.problems]


def test_one_mistake_is_one_line() -> None:
    with pytest.raises(SettingsError, match="^s.yml: count is 'x', expected a whole[^\n]*$"):
        TABLE.parse({"count": "x"}, "s.yml")


def test_rules_look_at_several_settings_that_are_right_themselves() -> None:
    assert problems({"count": 70001}) == ["count and http.port are too large together"]
    assert problems({"count": 70001, "http": {"port": "x"}}) == [
        "http.port is 'x', expected a whole number from 0 to 65535"
    ]


def test_values_are_read_only() -> None:
    values = TABLE.parse({}, "x")
    with pytest.raises(TypeError):
        values["count"] = 4  # type: ignore[index]
    with pytest.raises(AttributeError):
        values._values = {}
    with pytest.raises(AttributeError):
        values["proxies"].append("a")


SECRETS: Dict[str, Any] = {"password": "hunter2", "db": {"url": "postgresql://u:hunter2@h/d"}}


def test_secrets_are_never_shown() -> None:
    values = TABLE.parse(SECRETS, "x")
    shown = TABLE.show(values)
    assert "hunter2" not in json.dumps(shown) + repr(values) + str(values)
    assert shown["password"] == "********"
    assert shown["db"]["url"] == "postgresql://u:********@h/d"
    assert TABLE.show(TABLE.parse({}, "x"))["password"] is None
    wrong = problems({"password": ["hunter2"], "db": {"url": "hunter2"}})
    assert len(wrong) == 2 and "hunter2" not in str(wrong)


@pytest.mark.parametrize(
    "url, masked",
    [
        ("postgresql://u:pw@h:1/d", "postgresql://u:********@h:1/d"),
        ("postgresql://u:p@w/x@h/d", "postgresql://u:********@h/d"),
        (
            "postgresql://u@h/d?sslmode=x&password=pw",
            "postgresql://u@h/d?sslmode=x&password=********",
        ),
        ("postgresql://h/d", "postgresql://h/d"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
    ],
)
def test_of_a_secret_url_only_the_password_is_hidden(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def _uncomment(sample: str) -> str:
    """What an operator gets who deletes the ``#`` before every setting."""
    lines = []
    for line in sample.splitlines():
        text = line.lstrip()
        if text.startswith("#") and not text.startswith("# "):
            line = line.replace("#", "", 1)
        lines.append(line)
    return "\n".join(lines)


def test_the_sample_is_the_defaults_with_and_without_its_comments() -> None:
    sample = TABLE.sample()
    defaults = dict(TABLE.parse({}, "x"))
    assert dict(TABLE.parse(yaml.safe_load(sample), "x")) == defaults
    assert dict(TABLE.parse(yaml.safe_load(_uncomment(sample)), "x")) == defaults
    assert sample.count("port: 80") == 1
    for field in TABLE.fields.values():
        assert field.help in sample and field.expected in sample


def test_the_sample_sets_what_is_given() -> None:
    sample = TABLE.sample({"http.host": 'a "quoted": name #1', "proxies": ("a",), "count": 9})
    values = TABLE.parse(yaml.safe_load(sample), "x")
    assert values["http.host"] == 'a "quoted": name #1'
    assert values["proxies"] == ("a",) and values["count"] == 9 and values["http.port"] == 80


def test_the_reference_has_a_row_for_each_setting() -> None:
    lines = TABLE.reference().splitlines()
    assert len(lines) == 2 + len(TABLE.fields)
    assert lines[3] == "| `count` | `3` | a whole number of things, at least 1 | A count. |"
    assert "| unset |" in lines[2] and "A \\| level." in lines[6]


def test_loading_it_is_cheap() -> None:
    """The agent's processes load it: no module that they would not have anyway."""
    import subprocess
    import sys

    code = (
        "import sys, push_jobs_wire.settings; "
        "print([m for m in ('yaml', 'cryptography', 'difflib', 'pathlib') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "[]"


# A busy machine is slow now and then; that is no failure.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

KEYS = st.sampled_from([*TABLE.fields, "http", "db", "port", "url"]) | st.text() | st.integers()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(None).map(lambda _: 10**5000)
    | st.floats()
    | st.text()
    | st.binary()
    | st.dates()
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner), max_leaves=20
)


@PATIENT
@given(TREES)
def test_no_mapping_raises_anything_but_settings_errors(mapping: Any) -> None:
    try:
        values = TABLE.parse(mapping, "x")
    except SettingsError as error:
        assert error.problems and str(error)
        str(error).encode()
    else:
        assert isinstance(values, Values)
        json.dumps(TABLE.show(values))


GOOD = st.fixed_dictionaries(
    {
        "name": st.text(min_size=1).filter(str.isprintable),
        "count": st.integers(1, 70000),
        "pause": st.floats(0, 60),
        "proxies": st.lists(st.text(min_size=1).filter(str.isprintable)),
    }
)


@PATIENT
@given(GOOD)
def test_what_is_taken_survives_the_sample(mapping: Dict[str, Any]) -> None:
    values = TABLE.parse(mapping, "x")
    given_ones = {name: values[name] for name in mapping}
    assert dict(TABLE.parse(yaml.safe_load(TABLE.sample(given_ones)), "x")) == dict(values)
