"""What to do about a node that takes no jobs, from what the server knows of it. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Optional

from push_jobs.node_models import NodeDetail, NodeRefusal, Presence

_OF_SETTINGS = ("bad_key", "not_allowed")
_SERF_AWAY = "the Serf agent of this server ("


def advice(node: NodeDetail) -> Optional[str]:
    """One sentence, or None when there is nothing to do or nothing is known."""
    if node.brief:
        return None
    if not node.available and (node.reason or "").startswith(_SERF_AWAY):
        return "start the Serf agent on the server; nothing is wrong with the node"
    if node.refusal is not None and _counts(node, node.refusal):
        return _after_refusal(node, node.refusal)
    if node.online:
        waits = "wait a few seconds; when it stays so, restart its agent"
        return None if node.available else waits
    if node.registered is False:
        return _register(node)
    if node.presence is Presence.NEVER_SEEN:
        return "install the agent there, start it, and look into its log"
    if _later(node.settings_fetched_at, node.seen_at):
        return "let this node reach the command port and the heartbeat port of the server"
    return "see whether the machine and its agent are running; the log of the agent says more"


def _counts(node: NodeDetail, refusal: NodeRefusal) -> bool:
    """Whether a refusal is still true: nothing better has come since."""
    of_settings = refusal.kind in _OF_SETTINGS
    return _later(refusal.at, node.settings_fetched_at if of_settings else node.seen_at)


def _later(one: Optional[datetime], other: Optional[datetime]) -> bool:
    return one is not None and (other is None or one > other)


def _after_refusal(node: NodeDetail, refusal: NodeRefusal) -> str:
    if refusal.kind == "bad_clock" and refusal.clock_offset is not None:
        side = "ahead of" if refusal.clock_offset > 0 else "behind"
        return (
            f"synchronize the clocks: the one of {node.name} is {abs(refusal.clock_offset)} s "
            f"{side} the server's"
        )
    if refusal.kind == "bad_key" and node.registered is False:
        return _register(node)
    return _AFTER.get(refusal.kind, "the log of the server and that of the agent say more")


def _register(node: NodeDetail) -> str:
    return f"no client is registered as {node.name}: see the name, or register it"


_AFTER = {
    "bad_clock": "synchronize the clocks of the node and of the server",
    "bad_key": "register the public half of the agent's client_key for this node",
    "bad_signature": "restart its agent, so that it fetches its settings again",
    "foreign": "see the node_name of its agent: it speaks in the name of another node",
    "grant_expired": "restart its agent, and let it reach the HTTPS address of the server",
    "not_allowed": "see the node_name of the agent: the key that it uses is of another client",
    "replayed": "see whether two agents run under this name",
}
