"""The ChefSpec examples of the cookbooks, on the platforms whose data Fauxhai brings along."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gems import gem_set
from peer import Missing, skip

SPECS = Path(__file__).resolve().parent / "push-jobs"


def test_the_examples_of_the_cookbook_hold() -> None:
    try:
        gems = gem_set("chef")
    except Missing as reason:
        skip(reason)
    done = subprocess.run(
        [*gems.command("rspec"), "--no-color"],
        cwd=SPECS,
        env=gems.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert " 0 failures" in done.stdout
