"""A stub server, a client of it, and the command line, run inside this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterator

import pytest
from command_run import Result, Run
from pushy_stub import PushyStub

from push_jobs import Client
from push_jobs.cli import main


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[PushyStub]:
    """A running stub server."""
    with PushyStub(tmp_path) as server:
        yield server


@pytest.fixture
def client(stub: PushyStub) -> Iterator[Client]:
    """A client that trusts the stub's CA."""
    with Client(stub.url, stub.user, stub.key, ca=stub.ca, timeout=10) as opened:
        yield opened


@pytest.fixture
def environ(stub: PushyStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dict[str, str]:
    """The environment of this process is that of a user of the stub."""
    variables = stub.environ(tmp_path)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def run(environ: Dict[str, str], capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line with its arguments."""

    def call(*arguments: str) -> Result:
        code = main(arguments)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call
