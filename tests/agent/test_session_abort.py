"""Aborts with a grace time and a reason, as servers with our extensions send them."""

from __future__ import annotations

from typing import List, Optional

import pytest
from agent_desk import JOB, Desk, commit, ready_desk, running_desk, spooled

from push_jobs_wire.messages import Abort, Output, OutputAck, Reply, Run
from push_jobs_wire.states import NodeInput


def graces(desk: Desk) -> List[object]:
    return [fields["grace"] for fields in desk.runner.ops("abort")]


def test_grace_and_reason_of_the_server_reach_the_runner() -> None:
    desk = running_desk()
    desk.server.say(Abort(2.5, "cancelled by alice: wrong release"))
    assert desk.runner.ops("abort") == [
        {"job_id": JOB, "grace": 2.5, "reason": "cancelled by alice: wrong release"}
    ]


@pytest.mark.parametrize("grace, used", [(None, 10.0), (0.0, 0.0), (60.0, 60.0), (1e9, 600.0)])
def test_which_grace_is_used(grace: Optional[float], used: float) -> None:
    desk = running_desk()
    desk.server.say(Abort(grace))
    assert graces(desk) == [used]


def test_only_more_haste_is_passed_on() -> None:
    desk = running_desk()
    for grace in (30.0, 30.0, 60.0, None, 10.0, 0.0):
        desk.server.say(Abort(grace))
    assert graces(desk) == [30.0, 10.0, 0.0]


def test_more_haste_during_the_start() -> None:
    desk = ready_desk()
    desk.server.say(commit())
    desk.runner.hold = True
    desk.server.say(Run(JOB))
    for grace in (30.0, 1.0, 20.0):
        desk.server.say(Abort(grace))
    desk.release_held()
    assert graces(desk) == [1.0]


def test_a_new_runner_is_told_the_same() -> None:
    desk = running_desk()
    desk.server.say(Abort(2.5, "enough"))
    desk.do(desk.session.runner_lost(desk.now))
    desk.found(spooled())
    assert desk.runner.ops("abort")[1:] == desk.runner.ops("abort")[:1]


def test_the_output_goes_before_aborted() -> None:
    desk = running_desk(capture=True)
    desk.runner.output[JOB] = (b"so far", b"")
    desk.server.say(Abort(1.0, "enough"))
    desk.ended(result="aborted", signal=15, reason="enough", capture=True)
    [output] = desk.server.heard()
    assert isinstance(output, Output) and output.data == b"so far"
    desk.server.say(OutputAck(JOB, "stdout", 6, 65536))
    [aborted] = desk.server.heard()
    assert isinstance(aborted, Reply)
    assert (aborted.kind, aborted.job.id, aborted.reason) == (NodeInput.ABORTED, JOB, "enough")
    assert (aborted.stdout_size, aborted.stderr_size) == (6, 0)


def test_a_reason_without_end_is_shortened() -> None:
    desk = running_desk()
    desk.server.say(Abort(1.0, "x" * 10_000))
    [asked] = desk.runner.ops("abort")
    assert len(asked["reason"]) == 500


def test_an_abort_that_names_no_usable_grace_is_still_one() -> None:
    desk = running_desk()
    desk.server.say(Abort(-1.0))
    assert graces(desk) == [10.0]
