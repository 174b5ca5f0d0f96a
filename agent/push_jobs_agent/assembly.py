"""Puts an agent together: the ends that its settings ask for, and a way to wait for all of them.

What only one kind of end needs is loaded only with that kind.
"""

from __future__ import annotations

import select
from typing import List, Sequence, Tuple

from push_jobs_agent.config import Config
from push_jobs_agent.ends import AskRunner, End
from push_jobs_agent.runner.spool import read_output, read_output_part
from push_jobs_agent.service import Wait


def ends(
    config: Config, ask: AskRunner, version: str, interactive: bool
) -> Tuple[Sequence[End], Wait]:
    """The ends of an agent with these settings, and how to wait for them.

    Args:
        config: the settings.
        ask: sends a request to the runner.
        version: the agent's version.
        interactive: a person is watching.
    """
    found: List[End] = []
    wait: Wait = _wait
    if config["chef_server_url"] is not None:
        from push_jobs_agent.pushy_end import PushyEnd
        from push_jobs_agent.transports.zeromq import ZeroMQTransport

        transport = ZeroMQTransport()
        wait = transport.wait
        found.append(
            PushyEnd(config, version, transport, ask, read_output, read_output_part, interactive)
        )
    if config["shovey_url"] is not None:
        from push_jobs_agent.serf_end import SerfEnd

        found.append(SerfEnd(config, ask, read_output_part))
    return found, wait


def _wait(readers: Sequence[int], writers: Sequence[int], timeout: float) -> None:
    """Sleep as the transport of ZeroMQ does, without it."""
    poll = select.poll()
    wanted = {fd: select.POLLIN for fd in readers}
    for fd in writers:
        wanted[fd] = wanted.get(fd, 0) | select.POLLOUT
    for fd, events in wanted.items():
        poll.register(fd, events)
    poll.poll(max(0, int(timeout * 1000 + 0.999)))
