"""The whitelist: every mistake found at once, and what a job name turns into."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_jobs_agent.runner.errors import Refused, WhitelistError
from push_jobs_agent.runner.whitelist import Whitelist, load, read


def whitelist(fields: Any) -> Whitelist:
    problems: List[str] = []
    found = read(json.dumps(fields).encode(), problems)
    assert problems == []
    return found


def argv(fields: Any, name: str) -> List[str]:
    return whitelist(fields).find(name)[1]


def problems_of(fields: Any) -> List[str]:
    problems: List[str] = []
    read(fields if isinstance(fields, bytes) else json.dumps(fields).encode(), problems)
    return problems


# Forms


@pytest.mark.parametrize(
    "entry, expected",
    [
        ("chef-client --once", ["chef-client", "--once"]),
        ("echo 'a b' \"c d\" e\\ f", ["echo", "a b", "c d", "e f"]),
        ("echo $HOME; touch /x", ["echo", "$HOME;", "touch", "/x"]),
        (["echo", "a b", ""], ["echo", "a b", ""]),
        ({"command_line": "echo a"}, ["echo", "a"]),
        ({"command_line": ["echo", "\\1"]}, ["echo", "\\1"]),
        ({"command_line": "a && b", "shell": True}, ["/bin/sh", "-c", "a && b", "sh"]),
    ],
)
def test_forms_of_an_entry(entry: Any, expected: List[str]) -> None:
    assert argv({"job": entry}, "job") == expected
    assert argv({"whitelist": {"job": entry}}, "job") == expected


def test_options_of_an_entry() -> None:
    fields = {
        "command_line": "x",
        "lock": "/run/l",
        "user": "deploy",
        "dir": "/srv",
        "timeout": 1.5,
        "env": {"A": "b"},
        "capture_output": False,
    }
    entry, _ = whitelist({"job": fields}).find("job")
    given = {key: getattr(entry, key) for key in fields if key != "command_line"}
    assert given == {key: value for key, value in fields.items() if key != "command_line"}
    plain, _ = whitelist({"job": "x"}).find("job")
    assert (plain.lock, plain.user, plain.timeout, plain.capture_output) == (None,) * 4


def test_names_that_can_be_run() -> None:
    listed = whitelist({"/b.*/": "x", "a": "x", "off": False, "/off2/": None})
    assert listed.names == ["a", "/b.*/"]


def test_a_job_may_be_called_whitelist() -> None:
    assert argv({"whitelist": "x"}, "whitelist") == ["x"]
    assert argv({"whitelist": {"command_line": "x"}, "other": "y"}, "whitelist") == ["x"]


# Matching


def test_exact_names_first_then_patterns_in_order() -> None:
    fields = {"/.*/": "any", "/a.*/": "late", "abc": "exact"}
    assert argv(fields, "abc") == ["exact"]
    assert argv(fields, "abd") == ["any"]


@pytest.mark.parametrize("name", ["xdeploy web", "deploy web x", "deploy web\u2028", "Deploy web"])
def test_a_pattern_matches_whole_names_only(name: str) -> None:
    with pytest.raises(Refused, match="not in the whitelist"):
        argv({"/deploy [a-z]+/": "x"}, name)


def test_a_list_of_alternatives_is_anchored_as_a_whole() -> None:
    with pytest.raises(Refused, match="not in the whitelist"):
        argv({"/a|b/": "x"}, "ab")


@pytest.mark.parametrize("off", [False, None])
def test_an_entry_that_is_switched_off_stops_patterns_too(off: Any) -> None:
    with pytest.raises(Refused, match="'rm' is switched off"):
        argv({"/.*/": "x", "rm": off}, "rm")
    with pytest.raises(Refused, match="'rm2' is switched off"):
        argv({"/rm.*/": off, "/.*/": "x"}, "rm2")


@pytest.mark.parametrize(
    "name, reason",
    [
        ("", "has 0 bytes"),
        ("x" * 1025, "has 1025 bytes; 1 to 1024"),
        ("ä" * 513, "has 1026 bytes"),
        ("a\nb", "control character"),
        ("a\x7f", "control character"),
        ("a\x85", "control character"),
        ("\ud800", "not valid text"),
    ],
)
def test_names_that_cannot_be_jobs(name: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        argv({"/(?s).*/": "x"}, name)


def test_a_name_of_1024_bytes_is_one() -> None:
    assert argv({"/.*/": "x"}, "ä" * 512) == ["x"]


def test_a_catastrophic_pattern_is_interrupted() -> None:
    listed = whitelist({"/(a+)+b/": "x"})
    began = time.process_time()
    with pytest.raises(Refused, match="took more than 0.2 s; simplify the pattern"):
        listed.find("a" * 60)
    assert time.process_time() - began < 5
    assert signal.getsignal(signal.SIGVTALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] == 0
    assert listed.find("aab")[1] == ["x"]


# References


@pytest.mark.parametrize(
    "command, expected",
    [
        ("run \\1 --to=\\2", ["run", "web one", "--to=a;b"]),
        ("run '\\1' \"\\2\"", ["run", "web one", "a;b"]),
        ("run \\g<what>\\g<2>", ["run", "web onea;b"]),
        ("run \\0", ["run", "go web one a;b"]),
        ("run \\\\1 '\\\\g<what>'", ["run", "\\1", "\\g<what>"]),
        (["run", "\\1", "\\\\1", "C:\\temp"], ["run", "web one", "\\1", "C:\\temp"]),
        (["\\1", "x"], ["web one", "x"]),
    ],
)
def test_groups_go_in_as_parts_of_single_words(command: Any, expected: List[str]) -> None:
    assert argv({"/go (?P<what>web \\w+) (.*)/": command}, "go web one a;b") == expected


def test_a_group_that_took_no_part_is_empty() -> None:
    assert argv({"/go( fast)?/": ["run", "\\1"]}, "go") == ["run", ""]


def test_in_a_shell_entry_groups_are_never_text() -> None:
    entry = {"command_line": "echo \\1 \"$1\" '$2'", "shell": True}
    assert argv({"/say (.*?)(!)?/": entry}, "say $(id); rm") == [
        "/bin/sh",
        "-c",
        "echo \\1 \"$1\" '$2'",
        "sh",
        "$(id); rm",
        "",
    ]


@pytest.mark.parametrize("shell", [False, True])
def test_values_that_look_like_options_are_refused(shell: bool) -> None:
    entry: Dict[str, Any] = {"command_line": "rm \\1", "shell": shell}
    with pytest.raises(Refused, match="could be read as an option"):
        argv({"/rm (.*)/": entry}, "rm -rf")
    allowed: Dict[str, Any] = {**entry, "options": True}
    assert argv({"/rm (.*)/": allowed}, "rm -rf")[-1] == "-rf"
    assert argv({"/rm (.*)/": entry}, "rm a-b")[-1] == "a-b"


VALUES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40)
TEMPLATES = st.lists(
    st.sampled_from(["\\1", "\\g<two>", "x\\1", "'\\1'", '"\\2 y"', "--o=\\1\\2", "z", "\\\\1"]),
    min_size=1,
    max_size=6,
)


@given(one=VALUES, two=VALUES, words=TEMPLATES, listed=st.booleans())
def test_no_value_ever_becomes_more_than_one_argument(
    one: str, two: str, words: List[str], listed: bool
) -> None:
    command: Any = ["run", *words] if listed else " ".join(["run", *words])
    entry = {"command_line": command, "options": True}
    fields = {"/do (?P<one>.*)\u2603(?P<two>.*)/": entry}
    plain = argv(fields, "do p\u2603q")
    name = f"do {one}\u2603{two}"
    filled = argv(fields, name)
    assert len(filled) == len(plain) == len(words) + 1
    match = re.fullmatch("do (.*)\u2603(.*)", name)
    assert match is not None
    values = {"p": match[1], "q": match[2]}
    for word, before in zip(filled, plain):
        # Undo the marker values one by one: nothing but the places of p and q may differ.
        assert word == re.sub("[pq]", lambda place: values[str(place[0])], before)


@given(value=VALUES)
def test_no_value_ever_reaches_the_text_of_a_shell(value: str) -> None:
    entry = {"command_line": 'echo "$1" \\1', "shell": True, "options": True}
    found = argv({"/say (.*)/": entry}, f"say {value}")
    assert found == ["/bin/sh", "-c", 'echo "$1" \\1', "sh", value]


# Mistakes


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "whitelist.json"
    path.write_text(
        json.dumps(
            {
                "a": 7,
                "b": {"command": "x"},
                "c": {"command_line": "x", "timeout": 0, "lock": "relative", "env": {"A": 1}},
                "d": "echo 'open",
                "/(/": "x",
                "/ok(.)/": ["run", "\\2", "\\g<name>"],
                "/ok2(.)/": "run \\2",
                "e": {"command_line": ["x"], "shell": True},
                "f\n": "x",
                "g": [],
                "h": "  ",
                "i": True,
                "j": {"command_line": ["x", 1], "shell": "yes", "user": "", "dir": "~"},
                "//": "",
                "k": "''",
                "l": "a\0b",
            }
        )
    )
    with pytest.raises(WhitelistError) as caught:
        load(str(path))
    told = "\n".join(caught.value.problems)
    assert all(problem.startswith(f"{path}: ") for problem in caught.value.problems)
    for line in [
        "a: is a number, expected a command line, a list of arguments, a mapping with",
        "b: command: is not known; expected one of command_line, lock, user, dir, timeout, env,",
        "b: command_line: is null, expected a command line or a list of arguments",
        "c: timeout: is a number, expected a number of seconds above 0",
        "c: lock: is text, expected true, false or an absolute path",
        "c: env: is a mapping, expected a mapping from variable names to texts",
        "d: command_line: No closing quotation",
        "/(/: is not a pattern: missing ), unterminated subpattern",
        "/ok(.)/: command_line: \\2 is past the 1 groups of the pattern",
        "/ok2(.)/: command_line: \\2 is past the 1 groups of the pattern",
        "e: command_line: is a list, expected text, because shell is true",
        "f\n: the name of the job holds a control character",
        "g: command_line: names no program",
        "h: command_line: is empty",
        "i: is true, expected a command line",
        "j: command_line: expected nothing but texts in the list",
        "j: shell: is text, expected true or false",
        "j: user: is text, expected the name of a user",
        "j: dir: is text, expected an absolute path",
        "//: is an empty pattern",
        "//: command_line: is empty",
        "k: command_line: names no program",
        "l: command_line: holds a character that no process can be given",
    ]:
        assert f": {line}" in told


@pytest.mark.parametrize(
    "data, problem",
    [
        (b'{"a": "x", "a": "y"}', "a: is there more than once, expected once"),
        (
            b'{"j": {"env": {"A": "1", "A": "2"}, "command_line": "x"}}',
            "A: is there more than once",
        ),
        (b"[]", "is a list, expected a mapping from job names to entries"),
        (b"{", "is not JSON: "),
        (b"\xff", "is not JSON: "),
        (b"", "is not JSON: "),
        (b"[" * 100_000, "is not JSON: "),
    ],
)
def test_files_that_are_no_whitelist(data: bytes, problem: str) -> None:
    assert [text for text in problems_of(data) if problem in text]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WhitelistError, match="whitelist.json: cannot be read: No such file"):
        load(str(tmp_path / "whitelist.json"))


# YAML


def load_yaml(tmp_path: Path, text: str) -> Whitelist:
    path = tmp_path / "whitelist.yml"
    path.write_text(text)
    return load(str(path))


def test_yaml_means_the_same_as_json(tmp_path: Path) -> None:
    text = """
    chef-client: chef-client
    off: false
    "gone": null
    "/deploy (.*)/": {command_line: [deploy, '\\1'], timeout: 60, env: {A: "1"}}
    """
    with pytest.raises(WhitelistError, match="line 3: the key is no text, put it into quotes"):
        load_yaml(tmp_path, text)
    listed = load_yaml(tmp_path, text.replace("off", '"off"'))
    assert listed.names == ["chef-client", "/deploy (.*)/"]
    entry, words = listed.find("deploy web; x")
    assert (words, entry.timeout, entry.env) == (["deploy", "web; x"], 60, {"A": "1"})
    with pytest.raises(Refused, match="switched off"):
        listed.find("off")


@pytest.mark.parametrize(
    "text, problem",
    [
        ("a: x\na: y\n", "line 2: a is there more than once, expected once"),
        ("1: x\n", "line 1: the key is no text"),
        ("a: 2020-01-01\n", "line 1: reads as a timestamp, put it into quotes"),
        ("a: !!python/name:os.system x\n", "line 1: reads as a python/name"),
        ("a: [\n", "is not YAML: "),
        ("a: &b [*b]\n", "is not YAML: "),
        ("- x\n", "is a list, expected a mapping"),
        ("a: {timeout: soon}\n", "a: timeout: is text, expected a number of seconds above 0"),
    ],
)
def test_mistakes_in_yaml(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(WhitelistError) as caught:
        load_yaml(tmp_path, text)
    assert [line for line in caught.value.problems if f"whitelist.yml: {problem}" in line]


def test_an_empty_yaml_file_lists_nothing(tmp_path: Path) -> None:
    assert load_yaml(tmp_path, "# nothing yet\n").names == []
