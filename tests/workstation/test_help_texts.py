"""Every command explains itself, and its examples are true."""

from __future__ import annotations

import shlex
from typing import Iterator, List, Tuple

import click
import pytest

from push_jobs.cli import root


def walk(command: click.Command, path: Tuple[str, ...] = ()) -> Iterator[Tuple[str, ...]]:
    """Yield the paths of all commands and groups."""
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


def examples(path: Tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> List[str]:
    """Return the examples in the help text of a command."""
    root.main([*path, "--help"], prog_name="push-jobs", standalone_mode=False)
    out, _ = capsys.readouterr()
    assert "Examples:" in out
    return [line[6:] for line in out.splitlines() if line.startswith("    $ ")]


class Parsed(Exception):
    """Raised where a command would begin to use the network."""


def stop(context: click.Context) -> None:
    """Stand in for ``options.connect``."""
    raise Parsed


@pytest.mark.parametrize("path", list(walk(root)), ids=" ".join)
def test_every_command_has_examples_that_parse(
    path: Tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("cancel", "job", "node", "start", "watch", "whoami"):
        monkeypatch.setattr(f"push_jobs.commands_{module}.connect", stop)
    found = examples(path, capsys)
    assert len(found) >= 2
    for line in found:
        name, *words = shlex.split(line.split(" > ")[0])
        assert name == "push-jobs"
        if "help" in words or "--help" in words:
            root.main(words, standalone_mode=False)
        else:
            with pytest.raises(Parsed):
                root.main(words, standalone_mode=False)


@pytest.mark.parametrize("path", list(walk(root)), ids=" ".join)
def test_every_option_is_explained(path: Tuple[str, ...]) -> None:
    command: click.Command = root
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


def test_the_page_of_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    root.main(["help", "exit-codes"], standalone_mode=False)
    out, _ = capsys.readouterr()
    codes = [line.split()[0] for line in out.splitlines()[1:]]
    assert codes == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "130"]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    root.main(["--version"], standalone_mode=False)
    assert capsys.readouterr().out.startswith("push-jobs 0.")
