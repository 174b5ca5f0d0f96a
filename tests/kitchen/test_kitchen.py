"""The suites of the cookbook on nodes that boot a real systemd, and the files that list them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Dict, List

import kitchen
import pytest
from labs import need_nodes

ROOT = Path(__file__).resolve().parents[2]
SUITES = [name for name in kitchen.suites() if not name.endswith("-peer")]


def _suites(name: str) -> List[Dict[str, Any]]:
    """The suites without what is different for nodes of the lab: their addresses."""
    suites: List[Dict[str, Any]] = kitchen.definition(name)["suites"]
    return [{key: suite[key] for key in suite if key != "driver"} for suite in suites]


def test_people_with_docker_get_the_same_suites() -> None:
    assert _suites("kitchen.dokken.yml") == _suites("kitchen.yml")


def test_both_files_converge_twice_and_take_deprecations_for_errors() -> None:
    for name in ("kitchen.yml", "kitchen.dokken.yml"):
        provisioner = kitchen.definition(name)["provisioner"]
        assert provisioner["multiple_converge"] == 2
        assert provisioner["enforce_idempotency"] and provisioner["deprecations_as_errors"]


def test_each_suite_has_tests_and_an_address_of_its_own() -> None:
    addresses = kitchen.suites()
    assert len(set(addresses.values())) == len(addresses)
    for name in SUITES:
        assert list((ROOT / "tests/integration" / name).glob("test_*.py")), name


@pytest.mark.parametrize("words", [("test", "no-such-suite"), ("dance",)])
def test_wrong_words_are_named_with_the_right_ones(words: "tuple[str, ...]") -> None:
    assert kitchen.main(words) == 2


@pytest.fixture(scope="module")
def lab() -> Any:
    """What the suites need, taken down at the end."""
    need_nodes("main", "chef", "ruby-client")
    yield
    subprocess.run([str(ROOT / "scripts/kitchen"), "destroy"], check=True)


@pytest.mark.parametrize("suite", SUITES)
def test_suite(lab: Any, suite: str) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts/kitchen"), "test", suite],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
