"""Which nodes may connect, and with which keys: settings are answered with it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Mapping, Optional

from push_jobs_server.engine.node import NodeKey
from push_jobs_server.node_records import Refusal
from push_jobs_server.records import Grant, GrantStored, SessionKeyStored

if TYPE_CHECKING:
    from push_jobs_server.engine.core import Engine


class Admission:
    """Lets nodes in to one engine.

    Args:
        engine: whose nodes these are.
        keys_made: when the session keys were made, as far as that is known.
    """

    def __init__(self, engine: Engine, keys_made: Mapping[NodeKey, float]) -> None:
        self._engine = engine
        self._keys_made = dict(keys_made)

    def admit(self, grant: Grant, new_key: bytes, answer: Callable[[object], None]) -> None:
        """Let a node connect; answers with its session key once that and the grant are stored.

        ``new_key`` becomes its session key when it has none, or one that is old enough.
        """
        engine, node = self._engine, (grant.org, grant.node)
        secret = engine.access.session_key(node)
        batch = engine.batch(f"{grant.org}/{grant.node}")
        if secret is None or self._key_is_old(node):
            secret = new_key
            engine.access.set_session_key(node, secret)
            batch.changes.append(SessionKeyStored(grant.org, grant.node, secret, engine.wall))
            self._keys_made[node] = engine.wall
        engine.access.grant(grant)
        batch.changes.append(GrantStored(grant))
        batch.changes.append(engine.sightings.fetched(node, engine.roster.get(node), engine.wall))
        result = secret
        batch.after.append(lambda: answer(result))
        batch.failed.append(answer)

    def _key_is_old(self, node: NodeKey) -> bool:
        """Whether to replace a session key: never during a job, whose result it may have signed."""
        engine = self._engine
        age = engine.wall - self._keys_made.setdefault(node, engine.wall)
        return age >= engine.rules.session_key_lifetime and not engine.jobs.open_for(node)

    def authorise(self, curve_key: str, wall: float) -> Optional[str]:
        """Who may connect with a CURVE key now, as ``ORG/NODE``; a refusal is noted."""
        engine = self._engine
        user = engine.access.user_id(curve_key, wall)
        if user is None:
            owner = engine.access.owner(curve_key)
            engine.inbox.dropped["not_admitted"] += 1
            if owner is not None:
                detail = "its leave to connect has expired, and it did not fetch its settings again"
                engine.sightings.refused(owner, Refusal("grant_expired", detail, wall))
        return user
