"""Jobs on two nodes, from a workstation outside: everything that a job can be and become."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest
from gems import gem_set

NODES = ("job", "job-peer")


@pytest.fixture(autouse=True)
def ready(operator: Any) -> None:
    """Both nodes can take a job."""
    operator.wait_available(*NODES)


def _statuses(job: Dict[str, Any]) -> Dict[str, str]:
    return {node["name"]: node["status"] for node in job["nodes"]}


def test_success_on_both(operator: Any) -> None:
    told = operator.run("true", *NODES)
    assert told.code == 0
    assert _statuses(told.job) == dict.fromkeys(NODES, "succeeded")


def test_failure_with_exit_code_and_output(operator: Any) -> None:
    told = operator.run("false", *NODES)
    assert told.code == 3
    assert {node["exit_code"] for node in told.job["nodes"]} == {3}
    assert told.printed("stderr") == ["gone wrong\n"] * 2


def test_refusal_by_one_misses_the_quorum_of_all(operator: Any) -> None:
    told = operator.run("only-here", *NODES)
    assert told.code == 4
    assert _statuses(told.job) == {"job": "was_ready", "job-peer": "nacked"}


def test_a_lower_quorum_runs_where_it_can(operator: Any) -> None:
    told = operator.run("only-here", *NODES, options=("--quorum", "50%"))
    assert _statuses(told.job) == {"job": "succeeded", "job-peer": "nacked"}


def test_timeout(operator: Any) -> None:
    told = operator.run("sleep", "job", options=("--timeout", "2s"))
    assert told.code == 5
    assert told.job["status"] == "timed_out"


def test_cancel(operator: Any) -> None:
    job_id = operator.start("sleep", *NODES)
    cancelled = operator.push_jobs("job", "cancel", job_id)
    assert cancelled.code in (0, 6), cancelled
    assert operator.ended(job_id)["status"] == "aborted"


def test_user_directory_variables_and_file(operator: Any, tmp_path: Path) -> None:
    def said(command: str, *options: str) -> str:
        told = operator.run(command, "job", options=options)
        assert told.code == 0, told
        printed: List[str] = told.printed()
        return "".join(printed).strip()

    assert said("who", "--user", "nobody") == "nobody"
    assert said("where", "--dir", "/var/lib") == "/var/lib"
    assert said("say", "--env", "GREETING=hello there") == "hello there"
    (tmp_path / "sent").write_text("of the workstation\n")
    assert said("file", "--file", str(tmp_path / "sent")) == "of the workstation"


def test_knife_drives_the_same_jobs(tmp_path: Path) -> None:
    (tmp_path / "trusted_certs").mkdir()
    shutil.copy(os.environ["PUSHJOBS_CA"], tmp_path / "trusted_certs" / "ca.crt")
    settings = {
        "node_name": os.environ["PUSHJOBS_USER"],
        "client_key": os.environ["PUSHJOBS_KEY"],
        "chef_server_url": os.environ["PUSHJOBS_SERVER"],
        "trusted_certs_dir": tmp_path / "trusted_certs",
    }
    text = "".join(f'{name} "{value}"\n' for name, value in settings.items())
    (tmp_path / "knife.rb").write_text(text + "http_retry_count 0\n")
    gems = gem_set("main")
    done = subprocess.run(
        [*gems.command("knife"), "job", "start", "true", *NODES, "-c", str(tmp_path / "knife.rb")],
        env=gems.environment(HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done
    assert "Complete." in done.stdout and "status:      complete" in done.stdout


def test_a_pattern_takes_its_part_of_the_name_as_one_word(operator: Any) -> None:
    told = operator.run("restart nginx", "job")
    assert told.printed() == ["restart nginx\n"]
    assert operator.run("restart nginx; id", "job").code == 7
