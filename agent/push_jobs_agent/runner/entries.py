"""One whitelist entry: what it may say, and how it is checked. Reads no file and runs nothing."""

from __future__ import annotations

import math

from push_jobs_agent.runner.words import literal_words, read_word, split_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any, Callable, Optional, Union

    from push_jobs_agent.runner.words import Word

    Check = tuple[Callable[[Any], bool], str]


class Entry:
    """What the owner of this node lets a job name stand for.

    Attributes:
        words: the command; one text only when ``shell`` is true.
        lock: True for the lock file of chef-client, a path, or None.
        user, dir, env: cannot be overridden by a caller.
        timeout: seconds, or None.
        capture_output: True or False decide for the caller, None lets the caller decide.
        shell: ``/bin/sh -c`` runs the text.
        options: values out of the job name may begin with ``-``.
    """

    def __init__(self, words: list[Word], fields: dict[str, Any]) -> None:
        self.words = words
        self.lock: Union[bool, str, None] = fields.get("lock") or None
        self.user: Optional[str] = fields.get("user")
        self.dir: Optional[str] = fields.get("dir")
        self.timeout: Optional[float] = fields.get("timeout")
        self.env: dict[str, str] = fields.get("env") or {}
        self.capture_output: Optional[bool] = fields.get("capture_output")
        self.shell: bool = bool(fields.get("shell"))
        self.options: bool = bool(fields.get("options"))


def is_text(value: Any) -> bool:
    """True for text that a process can be given: no NUL, nothing that cannot be encoded."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_environment(value: Any) -> bool:
    """True for a mapping from variable names to texts."""
    return isinstance(value, dict) and all(
        is_text(name) and name and "=" not in name and is_text(text) for name, text in value.items()
    )


def _is_path(value: Any) -> bool:
    return is_text(value) and value.startswith("/")


def is_seconds(value: Any) -> bool:
    """True for a finite number above zero."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and value > 0
        and math.isfinite(value)
    )


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


CHECKS: dict[str, Check] = {
    "lock": (
        lambda value: _is_bool(value) or _is_path(value),
        "true, false or an absolute path",
    ),
    "user": (lambda value: is_text(value) and value != "", "the name of a user"),
    "dir": (_is_path, "an absolute path"),
    "timeout": (is_seconds, "a number of seconds above 0"),
    "env": (
        is_environment,
        "a mapping from variable names to texts (numbers in quotes)",
    ),
    "capture_output": (_is_bool, "true or false"),
    "shell": (_is_bool, "true or false"),
    "options": (_is_bool, "true or false"),
}

FORMS = "a command line, a list of arguments, a mapping with command_line, or false (switched off)"


def read_entry(
    value: Any, pattern: Optional[re.Pattern[str]], problems: list[str]
) -> Optional[Entry]:
    """The entry written as ``value``, or None after its mistakes were added to ``problems``.

    Args:
        pattern: of the key, when that is one; only then do references mean anything.
    """
    before = len(problems)
    if isinstance(value, (str, list)):
        value = {"command_line": value}
    if not isinstance(value, dict):
        problems.append(f"is {describe(value)}, expected {FORMS}")
        return None
    _check_options(value, problems)
    words = _read_command(value, pattern, problems)
    return Entry(words, value) if len(problems) == before else None


def describe(value: Any) -> str:
    """What kind of thing ``value`` is, in the words of a JSON file."""
    names = {bool: str(value).lower(), type(None): "null", str: "text", list: "a list"}
    return names.get(type(value), "a mapping" if isinstance(value, dict) else "a number")


def _check_options(fields: dict[str, Any], problems: list[str]) -> None:
    for key, value in fields.items():
        if key == "command_line":
            continue
        if key not in CHECKS:
            known = ", ".join(["command_line", *CHECKS])
            problems.append(f"{key}: is not known; expected one of {known}")
        elif value is not None and not CHECKS[key][0](value):
            problems.append(f"{key}: is {describe(value)}, expected {CHECKS[key][1]}")


def _read_command(
    fields: dict[str, Any], pattern: Optional[re.Pattern[str]], problems: list[str]
) -> list[Word]:
    try:
        return _words(fields.get("command_line"), fields.get("shell") is True, pattern)
    except ValueError as error:
        problems.append(f"command_line: {error}")
        return []


def _words(command: Any, shell: bool, pattern: Optional[re.Pattern[str]]) -> list[Word]:
    if isinstance(command, list):
        if shell:
            raise ValueError("is a list, expected text, because shell is true")
        return _listed_words(command, pattern)
    if not isinstance(command, str):
        raise ValueError(f"is {describe(command)}, expected a command line or a list of arguments")
    if not is_text(command):
        raise ValueError("holds a character that no process can be given")
    if not command.strip():
        raise ValueError("is empty, expected a command")
    return [[command]] if shell else _split_text(command, pattern)


def _split_text(command: str, pattern: Optional[re.Pattern[str]]) -> list[Word]:
    words = literal_words(command) if pattern is None else split_words(command, pattern)
    if not words or words[0] in ([], [""]):
        raise ValueError("names no program")
    return words


def _listed_words(command: list[Any], pattern: Optional[re.Pattern[str]]) -> list[Word]:
    if not all(is_text(word) for word in command):
        raise ValueError("expected nothing but texts in the list")
    if not command or not command[0]:
        raise ValueError("names no program")
    return [[word] if pattern is None else read_word(word, pattern) for word in command]
