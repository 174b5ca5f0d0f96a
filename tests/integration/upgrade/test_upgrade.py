"""A later version installed while a job runs."""

from __future__ import annotations

from typing import Any

from outside import wait_long

NODE = "upgrade"
LATER = "0.2.0"
SESSION, RUNNER = "chef-push-jobs-client", "chef-push-jobs-runner"


def test_an_upgrade_leaves_the_running_job_alone(host: Any, machine: Any, operator: Any) -> None:
    operator.wait_available(NODE)
    before = {unit: machine.pid(unit) for unit in (SESSION, RUNNER)}
    job_id = operator.start("slow", NODE, options=("--capture",))
    wait_long(lambda: operator.job(job_id)["status"] == "running", "the job to run")
    done = machine.converge(local_package_path="/opt/packages-later")
    assert done.rc == 0, done.stdout
    assert LATER in host.check_output("pushy-client --version")
    assert machine.pid(RUNNER) == before[RUNNER]
    assert machine.pid(SESSION) not in (0, before[SESSION])
    host.check_output("touch /run/door")
    job = operator.ended(job_id)
    assert [node["status"] for node in job["nodes"]] == ["succeeded"]
    assert "begun\ndone\n" in operator.push_jobs("job", "output", job_id, NODE).out
    wait_long(lambda: machine.pid(RUNNER) not in (0, before[RUNNER]), "the runner to start again")
    wait_long(lambda: operator.run("true", NODE).code == 0, "the next job")
