"""The part of the client that asks about nodes."""

from __future__ import annotations

from typing import List

from push_jobs.connection import Connection
from push_jobs.errors import ApiError
from push_jobs.models import NodeState
from push_jobs.names import segment
from push_jobs.node_models import NodeDetail
from push_jobs.node_reading import brief, read_detail, read_details
from push_jobs.reading import read_node, read_nodes


class NodeQueries:
    """What ``push_jobs.Client`` can tell of nodes."""

    _connection: Connection

    def nodes(self) -> List[NodeState]:
        """Return the nodes that are connected now. (pushy-api 4.7)"""
        return read_nodes(self._connection.get_json("/pushy/node_states"))

    def node(self, name: str) -> NodeState:
        """Return the state of one node; one that was never seen is offline. (pushy-api 4.7)"""
        return read_node(self._connection.get_json(f"/pushy/node_states/{segment(name)}"))

    def node_detail(self, name: str) -> NodeDetail:
        """Return all that the server knows of a node: up, down since when, never seen, and why.

        It is ``brief`` when the server is one that tells no more than ``node`` does.

            >>> client.node_detail("web1").reason   # doctest: +SKIP
            'no heartbeat for too long'
        """
        try:
            return read_detail(self._connection.get_json(f"/pushy/v1/nodes/{segment(name)}"))
        except ApiError as error:
            if error.status != 404:
                raise
            return brief(self.node(name))

    def all_nodes(self) -> List[NodeDetail]:
        """Return all nodes that are registered, also those that are down or were never seen.

        On a server that can't tell them, these are the connected ones, and all are ``brief``.
        """
        try:
            return read_details(self._connection.get_json("/pushy/v1/nodes"))
        except ApiError as error:
            if error.status != 404:
                raise
            return [brief(state) for state in self.nodes()]
