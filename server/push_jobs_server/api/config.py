"""A node's settings: the signed request that lets it connect (pushy-api 4.1, pushy-protocol 2)."""

from __future__ import annotations

import base64
import os
from typing import Any, Dict
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from zmq.utils import z85

from push_jobs_server.api.gate import SignedRequest
from push_jobs_server.api.refused_notes import note_refused
from push_jobs_server.api.rights import refuse, settings_ruling
from push_jobs_server.api.services import Caller, Failure, Services, unavailable
from push_jobs_server.api.status import Accepts
from push_jobs_server.keys import load_key
from push_jobs_server.records import Busy, Grant
from push_jobs_server.store import StoreError
from push_jobs_wire.messages import EXTENSIONS

_CURVE_KEY_LENGTH = 40


class Config:
    """``config/NODE`` and its draft name ``connect/NODE``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def show(self, environ: Dict[str, Any], accept: Accepts, org: str, node: str) -> Dict[str, Any]:
        """Let the node connect and tell it how; the grant is in force before this answers."""
        try:
            return self._show(environ, accept, org, node)
        except Failure as failure:
            note_refused(self._services, environ, (org, node), "settings", failure)
            raise

    def _show(
        self, environ: Dict[str, Any], accept: Accepts, org: str, node: str
    ) -> Dict[str, Any]:
        request = SignedRequest(self._services, environ)
        curve_key = _curve_key(environ)
        caller = request.authenticate(org)
        self._authorize(org, node, caller)
        accept.check()
        if not _is_z85(curve_key):
            raise Failure(401, ["Bad ccpk"])
        secret = self._admit(org, node, curve_key)
        return self._document(org, node, caller, secret)

    def _authorize(self, org: str, node: str, caller: Caller) -> None:
        if not settings_ruling(self._services, org, caller, node).allowed:
            if caller.kind == "client":
                raise Failure(403, ["Client and node name must match"])
            refuse(caller)
        if len(node) > 255 or any(ord(letter) < 32 for letter in node):
            refuse(caller)

    def _admit(self, org: str, node: str, curve_key: str) -> bytes:
        services = self._services
        lifetime = float(services.settings["grant_lifetime"])
        grant = Grant(curve_key, org, node, services.clock() + lifetime)
        if not services.engine.accepting:
            raise unavailable("the database does not take writes now; try again later")
        try:
            secret: bytes = services.engine.ask(
                lambda engine, answer: engine.admission.admit(grant, os.urandom(32), answer)
            )
        except (Busy, StoreError) as error:
            raise unavailable(str(error)) from None
        return secret

    def _document(self, org: str, node: str, caller: Caller, secret: bytes) -> Dict[str, Any]:
        settings, facts = self._services.settings, self._services.facts
        sealed = load_key(caller.public_key).encrypt(secret, PKCS1v15())
        return {
            "type": "config",
            "host": facts.host,
            "push_jobs": {
                "heartbeat": {
                    "out_addr": f"tcp://{_bracketed(facts.host)}:{facts.heartbeat_port}",
                    "command_addr": f"tcp://{_bracketed(facts.host)}:{facts.command_port}",
                    "interval": float(settings["heartbeat_interval"]),
                    "offline_threshold": settings["offline_threshold"],
                    "online_threshold": settings["online_threshold"],
                }
            },
            "node": node,
            "organization": org,
            "public_key": facts.public_key,
            "curve_public_key": facts.curve_public_key,
            "encoded_session_key": {
                "method": "hmac_sha256",
                "key": base64.b64encode(sealed).decode("ascii"),
            },
            "lifetime": int(settings["config_lifetime"]),
            "max_message_skew": int(settings["max_message_skew"]),
            "max_body_size": settings["max_message_size"],
            "incarnation_id": facts.incarnation_id,
            "extensions": EXTENSIONS,
        }


def _curve_key(environ: Dict[str, Any]) -> str:
    """The form-encoded ``ccpk`` of the query (step 10)."""
    query = str(environ.get("QUERY_STRING", ""))
    values = parse_qs(query, keep_blank_values=True, errors="replace").get("ccpk")
    if not values:
        raise Failure(400, ["Missing ccpk"])
    if len(values[0]) != _CURVE_KEY_LENGTH:
        raise Failure(401, ["Bad ccpk"])
    return str(values[0])


def _is_z85(text: str) -> bool:
    codec: Any = z85  # untyped in older releases
    try:
        return bool(codec.encode(codec.decode(text.encode("ascii"))).decode("ascii") == text)
    except Exception:  # the library raises whatever its arithmetic does
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
