"""Commands as they travel over Serf, signed as their nodes can check it. Pure.

Two signatures are robust against whoever fakes heartbeats, because an agent that is not ours looks
at the first one only; but they are long, and a query is short. Sources: shovey 3.4, 4.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from push_jobs_server.engine.serf_orders import NodeKind, Order
from push_jobs_wire import shovey
from push_jobs_wire.serf_query import query_size


def payload(order: Order, key: RSAPrivateKey, wall: float, origin: str, limit: int) -> bytes:
    """The payload of a query.

    Args:
        order: the command and its nodes, which are of one kind.
        key: signs it.
        wall: seconds since the epoch.
        origin: the name of this server's Serf agent.
        limit: bytes of a query that agents take.
    """
    fields = _fields(order, wall)
    if order.kind is NodeKind.OTHER:
        return shovey.encode(shovey.signed(fields, key))
    if order.kind is NodeKind.CLAIMS:
        both = shovey.encode(shovey.signed(fields, key, also_256=True))
        longest = max(order.nodes, key=lambda node: len(node.encode()))
        if query_size(origin, shovey.QUERY, both, [longest]) <= limit:
            return both
    return shovey.encode(shovey.signed_256(fields, key))


def _fields(order: Order, wall: float) -> shovey.Payload:
    run_id = shovey.job_uuid(order.job_id)
    if order.action == shovey.START:
        return shovey.start_payload(run_id, order.command, order.timeout, wall)
    return shovey.cancel_payload(run_id, wall)
