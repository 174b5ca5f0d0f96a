"""Who may connect as which node: session keys and grants. Pure.

A grant lets one CURVE key connect as one node until it expires; it is made only after a signed
settings request was verified (architecture: identity on the wire). Grants outlive connections, so
that a node whose link drops hours after its last settings request comes back by itself.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from push_jobs_server.engine.node import NodeKey
from push_jobs_server.records import Grant

MAX_GRANTS_PER_NODE = 8
"""Each start of an agent makes a CURVE key; older ones of the same node give way past this."""


class Access:
    """Session keys by node and grants by CURVE key (Z85 text).

    A node that was given a new session key goes on with its old one until it connects anew; until
    its first message with the new one both are accepted, and it is spoken to with the old one.
    """

    def __init__(self, keys: Mapping[NodeKey, bytes], grants: Iterable[Grant]) -> None:
        self._keys: Dict[NodeKey, bytes] = dict(keys)
        self._in_use: Dict[NodeKey, bytes] = {}
        self._grants: Dict[str, Grant] = {}
        self._of_node: Dict[NodeKey, List[str]] = {}
        for grant in grants:
            self.grant(grant)

    def session_key(self, key: NodeKey) -> Optional[bytes]:
        """The 32 bytes that a node gets with its settings, or None when it never fetched them."""
        return self._keys.get(key)

    def speaking_key(self, key: NodeKey) -> Optional[bytes]:
        """The key with which a node is spoken to now."""
        return self._in_use.get(key) or self._keys.get(key)

    def accepted_keys(self, key: NodeKey) -> Tuple[bytes, ...]:
        """The keys that may sign this node's messages; the one it uses first."""
        newest, in_use = self._keys.get(key), self._in_use.get(key)
        return tuple(secret for secret in (in_use, newest) if secret is not None)

    def uses(self, key: NodeKey, secret: bytes) -> None:
        """A node has signed with this key: when it is the newest one, no other counts any more."""
        if self._in_use and secret == self._keys.get(key):
            self._in_use.pop(key, None)

    def set_session_key(self, key: NodeKey, secret: bytes) -> None:
        """Give a node a new session key; the one that it uses counts until it uses this one."""
        if key in self._keys:
            self._in_use.setdefault(key, self._keys[key])
        self._keys[key] = secret

    def grant(self, grant: Grant) -> None:
        """Let a CURVE key connect as a node; a newer grant of the same key replaces the older."""
        node = (grant.org, grant.node)
        self._forget(grant.curve_key)
        self._grants[grant.curve_key] = grant
        keys = self._of_node.setdefault(node, [])
        keys.append(grant.curve_key)
        if len(keys) > MAX_GRANTS_PER_NODE:
            self._forget(keys[0])

    def user_id(self, curve_key: str, now: float) -> Optional[str]:
        """``ORG/NODE`` for a key that may connect now, else None."""
        grant = self._grants.get(curve_key)
        if grant is None or now >= grant.expires_at:
            return None
        return f"{grant.org}/{grant.node}"

    def owner(self, curve_key: str) -> Optional[NodeKey]:
        """The node that a key was granted to, whether the grant has expired or not."""
        grant = self._grants.get(curve_key)
        return None if grant is None else (grant.org, grant.node)

    def _forget(self, curve_key: str) -> None:
        grant = self._grants.pop(curve_key, None)
        if grant is not None:
            self._of_node[grant.org, grant.node].remove(curve_key)
