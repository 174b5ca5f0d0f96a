"""The shape of the house: who imports whom, what stays pure, sizes, nothing beside the clone."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import Iterator, List, Set

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "push_jobs_wire": ROOT / "wire" / "push_jobs_wire",
    "push_jobs_agent": ROOT / "agent" / "push_jobs_agent",
    "push_jobs_server": ROOT / "server" / "push_jobs_server",
    "push_jobs": ROOT / "workstation" / "push_jobs",
}
IMPURE = {"socket", "zmq", "threading", "time", "logging", "subprocess", "os", "io", "pathlib"}
IMPURE |= {"tempfile", "shutil", "asyncio", "select", "multiprocessing"}
"""``os.path`` alone is allowed: it only joins names."""
ENGINE = PACKAGES["push_jobs_server"] / "engine"
PURE = sorted(PACKAGES["push_jobs_wire"].rglob("*.py")) + [
    ENGINE / f"{name}.py"
    for name in ("core", "dialogue", "job", "node", "inbox", "roster", "access", "cancels", "stops")
]
PURE += [
    PACKAGES["push_jobs_server"] / f"{name}.py" for name in ("old_settings", "ruby_assignments")
]
MAX_LINES = 400


def sources() -> List[Path]:
    return sorted(path for root in PACKAGES.values() for path in root.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide the arrows"
            yield node.module or ""


def roots(path: Path) -> Set[str]:
    return {name.split(".")[0] for name in imports(path)}


def tracked() -> List[Path]:
    try:
        found = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git clone")
    paths = (ROOT / name for name in found.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_the_arrows_go_one_way(package: str) -> None:
    allowed = {package, "push_jobs_wire"}
    for path in PACKAGES[package].rglob("*.py"):
        assert not (roots(path) & set(PACKAGES)) - allowed, name_of(path)


@pytest.mark.parametrize("path", PURE, ids=name_of)
def test_pure_modules_stay_pure(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path) if name != "os.path"}
    assert not found & IMPURE
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)
    ]
    assert "open" not in {call.id for call in calls if isinstance(call, ast.Name)}


def test_nothing_refers_to_a_folder_beside_the_clone() -> None:
    beside = ("../" + "shared", "/" + "work/")
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        assert not [word for word in beside if word in text], name_of(path)


def test_files_are_short() -> None:
    for path in tracked():
        if path.suffix == ".py":
            assert path.read_bytes().count(b"\n") <= MAX_LINES, name_of(path)


def test_the_license_is_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_public_modules_say_what_they_are_for(path: Path) -> None:
    tree = ast.parse(path.read_bytes())
    if tree.body and not path.name.startswith("_"):
        assert ast.get_docstring(tree)
