"""The documents say what is true: generated pages are fresh, and what they name exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

ROOT = Path(__file__).resolve().parents[1]
GENERATED = (
    "commands.md",
    "compatibility.md",
    "cookbook-attributes.md",
    "old-settings.md",
    "settings-agent.md",
    "settings-server.md",
)
WRITTEN = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *sorted(
        f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md") if page.name not in GENERATED
    ),
)
PAGES = (*WRITTEN, *(f"docs/{name}" for name in GENERATED))

_FOLDERS = "agent|cookbooks|docs|packaging|scripts|server|tests|wire|workstation|\\.ci"
_NAMED = re.compile(rf"`((?:{_FOLDERS})/[\w./-]*)[^`]*`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_generated_pages_are_as_the_code_has_them() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "lib" / "docs.py"), "--check"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("page", WRITTEN)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    missing = [name for name in _NAMED.findall(_text(page)) if not (ROOT / name).exists()]
    assert missing == []


def test_the_way_of_a_job_names_files() -> None:
    way = _text("docs/architecture.md").split("## The way of a job")[1].split("\n## ")[0]
    assert len(set(_NAMED.findall(way))) > 40


@pytest.mark.parametrize("page", PAGES)
def test_relative_links_lead_somewhere(page: str) -> None:
    assert _broken(page) == []


def _broken(page: str) -> List[str]:
    links = [link for link in _LINK.findall(_text(page)) if "://" not in link]
    return [link for link in links if not ((ROOT / page).parent / link).exists()]


def test_the_readme_names_the_test_command_that_ci_runs() -> None:
    ci = _text(".ci/run").splitlines()
    assert ci[-1].endswith('exec scripts/test "$@"')
    assert "scripts/test" in _text("README.md")
