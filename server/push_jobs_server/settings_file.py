"""Reads a YAML settings file so that every mistake in it can be named with its place.

It knows nothing of the meaning of settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import yaml

from push_jobs_wire.settings import SettingsError


class _Loader(yaml.SafeLoader):
    """The safe loader, which besides notes keys that are given twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.problems: List[Tuple[int, str]] = []

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        construct: Any = super().construct_object
        try:
            return construct(node, deep)
        except ValueError as error:
            # Python's own complaint about a date or number; it does not say where.
            raise yaml.constructor.ConstructorError(
                problem=f"this value makes no sense: {error}",
                problem_mark=node.start_mark,
            ) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        lines: Dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if key.value in lines:
                text = f"key {key.value!r} was already given in line {lines[key.value]}"
                self.problems.append((line, f"line {line}: {text}"))
            lines.setdefault(key.value, line)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Tuple[Any, List[str]]:
    """Return what is in the file, and its mistakes that do not keep it from being read.

    Raises SettingsError when the file cannot be read, or is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            str(path), ["there is no such file; 'push-jobs-server init' makes one"]
        ) from None
    except OSError as error:
        raise SettingsError(str(path), [f"cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise SettingsError(str(path), [f"byte {error.start + 1} is not UTF-8"]) from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> Tuple[Any, List[str]]:
    """Return what is in the text as ``read_yaml`` does; ``source`` names it in messages."""
    try:
        loader = _Loader(text)
        data = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        raise SettingsError(source, [_place(error) + _reason(error)]) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise SettingsError(source, [f"is not readable as YAML: {reason}"]) from error
    except RecursionError:
        raise SettingsError(source, ["is nested too deeply"]) from None
    return data, [text for _, text in sorted(loader.problems)]


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""


def _reason(error: yaml.MarkedYAMLError) -> str:
    words = " ".join(filter(None, (error.context, error.problem)))
    return f"is not readable as YAML: {words}"
