"""What all benches share: figures, how they are shown, and a server that is made for the run."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Sequence

from house import House, open_house

Figures = Dict[str, float]


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every bench has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser


@contextmanager
def temporary_house(kind: Callable[..., House] = House, /, **settings: Any) -> Iterator[House]:
    """A running server in a temporary folder; its logs go nowhere."""
    with tempfile.TemporaryDirectory(prefix="push-jobs-bench-") as folder:
        # The house prints logs when it is closed; they are for tests.
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            with open_house(Path(folder), kind, **settings) as house:
                yield house


def median(values: Sequence[float]) -> float:
    """The value in the middle."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent of all lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def report(name: str, figures: Figures, as_json: bool) -> None:
    """Print the table, and the object as the last line when asked for it."""
    width = max(map(len, figures))
    print(f"bench {name}")
    for figure, value in figures.items():
        print(f"  {figure:<{width}}  {value:10.2f}")
    if as_json:
        rounded = {figure: round(value, 3) for figure, value in figures.items()}
        print(json.dumps({"bench": name, "figures": rounded}))
