"""An engine desk for cancels: asks for them and says what was answered and stored."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from engine_desk import START, EngineDesk

from push_jobs_server.engine.cancels import CancelRequest
from push_jobs_server.records import Cancelled, CancelStored, NodeChanged
from push_jobs_wire.states import NodeInput


class CancelDesk(EngineDesk):
    """An engine and what it answered to cancels."""

    def ask_cancel(
        self, nodes: Optional[Sequence[str]] = None, job_id: str = "j1", **details: Any
    ) -> None:
        """Ask for a cancel by bob; nothing is stored yet."""
        names = None if nodes is None else tuple(nodes)
        org = details.pop("org", "acme")
        asked = CancelRequest(org, job_id, "bob", "user", names, **details)
        self.begin()
        self.engine.cancels.ask(asked, self.answers.append)
        self.collect()

    def cancel(self, nodes: Optional[Sequence[str]] = None, **details: Any) -> Dict[str, str]:
        """Cancel and store; what the answer says of each node."""
        self.ask_cancel(nodes, **details)
        self.store()
        answer = self.answers[-1]
        assert isinstance(answer, Cancelled), answer
        job = self.engine.jobs.by_id.get("j1")
        if job is not None:
            assert answer.status is job.status
            assert {name: pair[1] for name, pair in answer.nodes.items()}.items() <= set(
                job.nodes.items()
            )
        return {name: effect.value for name, (effect, _) in answer.nodes.items()}

    def running(self, *nodes: str) -> None:
        """A job runs on old agents."""
        self.old_agents(*nodes)
        self.start(nodes=nodes)
        for node in nodes:
            self.reply(node, NodeInput.ACK_COMMIT)
        for node in nodes:
            self.reply(node, NodeInput.ACK_RUN)
        self.store()
        self.sent.clear()

    def running_ours(self, *nodes: str) -> None:
        """A job runs on agents that speak our extensions."""
        for node in nodes:
            self.beat(node, extensions=1, jobs=())
        self.start(nodes=nodes)
        for node in nodes:
            self.reply(node, NodeInput.ACK_COMMIT)
        for node in nodes:
            self.reply(node, NodeInput.ACK_RUN, started_at=START)
        self.store()
        self.sent.clear()

    def wait_for_end(self, step: float) -> None:
        """Let time pass, without a word from any node, until the job has ended."""
        for _ in range(100):
            if self.job()[0] != "running":
                return
            self.wait(step)
        raise AssertionError("the job never ends")

    def reasons(self) -> Dict[str, Optional[str]]:
        """The reason that was stored last for each node."""
        self.store()
        changes = [change for change in self.stored if isinstance(change, NodeChanged)]
        return {change.node: change.outcome.reason for change in changes}

    def cancels(self) -> List[CancelStored]:
        """All cancels that were stored."""
        return [change for change in self.stored if isinstance(change, CancelStored)]
