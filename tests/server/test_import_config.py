"""``push-jobs-server import-config``: what is read of an old file, and what is told of it."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml
from hypothesis import given, strategies
from server_commands import HOST, Commands

from push_jobs_server import data
from push_jobs_server.import_config import Line, import_text
from push_jobs_server.settings import load
from push_jobs_wire.settings import SettingsError

OLD = """\
# made by hand
topology "standalone"
api_fqdn 'chef.example.com'

opscode_pushy_server['heartbeat_interval'] = 1_000   # milliseconds
opscode_pushy_server["vip"] = "10.0.0.5"
opscode_pushy_server[:api_port] = 10004;
opscode_pushy_server['log_rotation']['num_to_keep'] = 3
opscode_pushy_server['zeromq_listen_address'] = 'tcp://*'
opscode_pushy_server['down_threshold'] = 0.5
opscode_pushy_server['validate_client_node_name'] = false
opscode_pushy_server['hartbeat_interval'] = 6
opscode_pushy_server['command_port'] = 2 * 5001
"""
TAKEN = {
    "heartbeat_interval": 1.0,
    "down_threshold": 0.5,
    "validate_client_node_name": False,
    "http": {"port": 10004},
    "zeromq": {"host": "0.0.0.0", "advertised_host": "10.0.0.5"},
}
MAIN = "opscode_pushy_server"


@pytest.fixture
def run(tmp_path: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    return Commands(tmp_path / "data", capsys)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.rb"
    path.write_text(OLD)
    return path


def _settings(text: str) -> Dict[str, Any]:
    return dict(import_text(text, "old.rb").settings)


def _lines(text: str) -> List[Line]:
    return import_text(text, "old.rb").lines


def _main(key: str, value: str) -> str:
    return f"{MAIN}['{key}'] = {value}\n"


# The command


def test_settings_are_printed_and_the_report_names_every_line(run: Commands, old: Path) -> None:
    result = run("import-config", old)
    assert (result.code, yaml.safe_load(result.out)) == (0, TAKEN)
    report = [line.split(None, 2) for line in result.err.splitlines()[1:-1]]
    numbers = [int(words[0]) for words in report]
    assert numbers == [2, 3, *range(5, 14)]
    for words in ("1000 became 1.0; milliseconds become seconds", "line 6 counts instead"):
        assert words in result.err
    assert "did you mean heartbeat_interval?" in result.err
    assert result.err.splitlines()[-1] == "lines that were not read: 1; look whether they matter"


def test_the_report_as_json(run: Commands, old: Path) -> None:
    document = json.loads(run.good("import-config", old, "--format", "json"))
    assert document["settings"] == TAKEN
    lines = {line["number"]: line for line in document["lines"]}
    results = {number: line["result"] for number, line in lines.items()}
    changed, taken = {5, 9}, {6, 7, 10, 11}
    assert {number for number, result in results.items() if result == "changed"} == changed
    assert {number for number, result in results.items() if result == "taken"} == taken
    assert {number for number, result in results.items() if result == "dropped"} == {2, 3, 8, 12}
    assert lines[13] == {
        "number": 13,
        "result": "not read",
        "old": f"{MAIN}.command_port",
        "new": "",
        "reason": "something follows its value that would have to be computed",
    }


def test_what_comes_out_passes_check_config(run: Commands, old: Path) -> None:
    data.init(data.Plan(run.data_dir, (HOST,), "acme", "alice"), time.time())
    settings = run.data_dir / "settings.yml"
    run.good("import-config", old, "--output", settings, "--force")
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert run("check-config").code == 0
    values = load(run.data_dir)
    assert (values["heartbeat_interval"], values["zeromq.advertised_host"]) == (1.0, "10.0.0.5")


def test_no_file_is_overwritten_unless_forced(run: Commands, old: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.yml"
    assert run.good("import-config", old, "--output", out) == ""
    assert yaml.safe_load(out.read_text()) == TAKEN
    out.write_text("mine")
    out.chmod(0o640)
    assert "--force replaces it" in run.bad("import-config", old, "--output", out)
    assert out.read_text() == "mine"
    run.good("import-config", old, "--output", out, "--force")
    assert yaml.safe_load(out.read_text()) == TAKEN
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    assert "the old file itself" in run.bad("import-config", old, "--output", old, "--force")
    assert old.read_text() == OLD
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.yml", "old.rb"]


def test_what_cannot_be_written_is_told(run: Commands, old: Path, tmp_path: Path) -> None:
    text = run.bad("import-config", old, "--output", tmp_path / "none" / "new.yml")
    assert text.startswith("cannot write ") and "No such file or directory" in text
    text = run.bad("import-config", old, "--output", tmp_path, "--force")
    assert text == f"cannot write {tmp_path}: Is a directory"


def test_files_that_cannot_be_used(run: Commands, tmp_path: Path) -> None:
    file = tmp_path / "old.rb"
    assert run.bad("import-config", file) == f"cannot read {file}: No such file or directory"
    assert run.bad("import-config", tmp_path) == f"cannot read {tmp_path}: Is a directory"
    file.write_bytes(b"topology '\xff'")
    assert f"{file}: byte 11 is not UTF-8" in run.bad("import-config", file)
    for text in ("", "# nothing\n\n=begin\ntopology 'ha'\n=end\n__END__\ntopology 'ha'\n"):
        file.write_text(text)
        assert run.bad("import-config", file).startswith(f"{file} has no settings; expected")


def test_a_file_of_which_nothing_counts(run: Commands, old: Path) -> None:
    old.write_text("topology 'standalone'\n")
    assert run.good("import-config", old) == (
        "# Nothing in old.rb differs from what this server does anyway.\n"
    )


# Reading Ruby


@pytest.mark.parametrize(
    "value, found",
    [
        ("'a.b'", "a.b"),
        ('"a.b"', "a.b"),
        (r"'a\'b\\c'", r"a'b\c"),
        (r'"a\"b\#c"', 'a"b#c'),
        ("'#{x}'", "#{x}"),
        (":name", "name"),
    ],
)
def test_texts(value: str, found: str) -> None:
    text = _main("server_name_advertised", value)
    assert _settings(text) == {"zeromq": {"advertised_host": found}}


@pytest.mark.parametrize(
    "value",
    [
        '"#{node}"',
        '"#$x"',
        r'"\u0041"',
        "'a' + 'b'",
        "'a' if x",
        "'a'.upcase",
        "'a'\n  .upcase",
        "10 * 1000",
        "0x10",
        "010",
        "1.0.to_i",
        "9" * 5000,
        "true && x",
        "nil.to_s",
        "ENV['X']",
        "[1, x]",
        "['a'].first",
        "%w(a b)",
        "{ 'a' => 1 }",
        "<<~X\ntopology 'ha'\nX",
        "(\ntopology 'ha'\n)",
        "{\n'a' => 1,\n}",
        "x ||\ntopology 'ha'",
        "if x\ntopology 'ha'\nend",
    ],
)
def test_what_would_have_to_be_computed_is_named_and_not_read(value: str) -> None:
    lines = _lines(_main("api_port", value) + _main("decay_window", "5"))
    *unread, last = lines
    assert {line.result for line in unread} == {"not read"}
    assert unread[0].number == 1
    assert (last.result, last.number) == ("taken", value.count("\n") + 2)


@pytest.mark.parametrize(
    "text",
    [
        f"if x\n{_main('api_port', '1')}end\n",
        f"unless x # end\n{_main('api_port', '1')}else\n{_main('api_port', '2')}end\n",
        f"nodes.each do |x|\n{_main('api_port', '1')}if y\nz\nend\n{_main('api_port', '3')}end\n",
        f"x = case y\nwhen 1\n{_main('api_port', '1')}end # of x\n",
        f"[1].each {{ |x|\n{_main('api_port', '1')}}}\n",
        f"def x\n{_main('api_port', '1')}end\n",
    ],
)
def test_what_stands_in_a_block_is_not_read(text: str) -> None:
    lines = _lines(text + _main("decay_window", "5"))
    assert [line.result for line in lines] == ["not read"] * text.count("\n") + ["taken"]
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))


@pytest.mark.parametrize(
    "text",
    [
        "api_port = 5",
        "opscode_pushy_server['api_port'] ||= 5",
        "opscode_pushy_server['api_port'] += 5",
        "opscode_pushy_server[name] = 5",
        "opscode_pushy_server.api_port = 5",
        "server 'a', :ip => 'b'",
        "eval('x') { }",
    ],
)
def test_other_statements_are_not_read(text: str) -> None:
    (line,) = _lines(text)
    assert line.result == "not read"


def test_arrays_over_several_lines_and_calls_with_brackets_are_plain() -> None:
    text = "nginx['a'] = ['x', # one\n  \"y\",\n  1.5,]\ntopology('ha') # old\n"
    lines = _lines(text.replace("\n", "\r\n"))
    assert [(line.number, line.old) for line in lines] == [(1, "nginx.a"), (4, "topology")]


_PIECES = (
    [
        *"'\"[](){}#,=:;.\\ \n\t",
        "\r\n",
        "0",
        "17",
        "-1.5e3",
        "nil",
        "true",
        "if x",
        "end",
        " do |x|",
    ]
    + ["=begin\n", "=end", "__END__", "<<~X", "X", "#{x}", "topology ", "\u2028", "\0", "\\u00e9"]
    + [f"{MAIN}['api_port'] = ", f'{MAIN}["vip"]', "['a']", "\nx = "]
)


@given(strategies.lists(strategies.sampled_from(_PIECES), max_size=30).map("".join))
def test_no_text_is_too_strange(text: str) -> None:
    """Each line is told of at most once, in order, and nothing but wrong settings is an error."""
    try:
        numbers = [line.number for line in _lines(text)]
    except SettingsError:
        return
    assert numbers == sorted(set(numbers))
    assert all(1 <= number <= text.count("\n") + 1 for number in numbers)


# What counts


def test_the_last_of_several_lines_counts() -> None:
    text = _main("decay_window", "5") + _main("decay_window", "6")
    assert _settings(text) == {"decay_window": 6}
    assert [line.result for line in _lines(text)] == ["dropped", "taken"]


def test_the_advertised_name_comes_before_the_others_wherever_it_stands() -> None:
    names = ("server_name_advertised", "server_name", "vip")
    text = "".join(_main(name, f"'{name}'") for name in names) + "api_fqdn 'fqdn'\n"
    assert _settings(text) == {"zeromq": {"advertised_host": "server_name_advertised"}}
    rest = text.split("\n", 1)[1]
    assert _settings(rest) == {"zeromq": {"advertised_host": "server_name"}}
    loopback = _main("server_name_advertised", "nil") + _main("vip", "'127.0.0.1'")
    assert _settings(loopback + "api_fqdn 'fqdn'") == {"zeromq": {"advertised_host": "fqdn"}}


@pytest.mark.parametrize(
    "key, value, reason",
    [
        ("zeromq_listen_address", "'tcp://eth0'", "interface names cannot"),
        ("zeromq_listen_address", "5", "interface names cannot"),
        ("heartbeat_interval", "'fast'", "expected a number of seconds"),
        ("heartbeat_interval", "true", "expected a number of seconds"),
        ("heartbeat_interval", "1", "expected a number of seconds from 0.05"),
        ("api_port", "70000", "expected a whole number from 0 to 65535"),
        ("api_port", "nil", "nil leaves the default"),
        ("vip", "['a']", "expected a text"),
        ("ha", "true", "the service manager decides"),
    ],
)
def test_values_without_a_place_are_dropped(key: str, value: str, reason: str) -> None:
    (line,) = _lines(_main(key, value))
    assert (line.result, reason in line.reason) == ("dropped", True), line
    assert _settings(_main(key, value)) == {}


def test_values_of_what_is_dropped_are_not_shown(run: Commands, old: Path) -> None:
    old.write_text("postgresql['sql_password'] = 'swordfish'\nx = 'swordfish'\n")
    result = run("import-config", old)
    assert result.code == 0 and "swordfish" not in result.out + result.err


def test_settings_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(SettingsError, match="old.rb"):
        import_text(_main("command_port", "10000"), "old.rb")
