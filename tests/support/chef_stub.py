"""A scripted stand-in for a Chef server. It is NOT the real program.

It shows what chef-zero and goiardi can't: several keys in one answer, a user and a client of one
name, keys that change, slow answers and nonsense. Answers have the documented form (pushy-api 3.1).
Signatures are not checked: goiardi does that.
"""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from api_desk import public_pem

Script = Callable[["_Handler"], None]


class Heard(NamedTuple):
    """A request: its path, its headers by lower-case names, the port that it came from."""

    path: str
    headers: Dict[str, str]
    port: int


class ChefStub:
    """The server. Paths without an answer get the 404 of a Chef server.

    Args:
        tls: speaks HTTPS with this context.
    """

    def __init__(self, tls: Optional[ssl.SSLContext] = None) -> None:
        self.answers: Dict[str, Script] = {}
        self.heard: List[Heard] = []
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _handler(self) -> Any:
        return type("Handler", (_Handler,), {"stub": self})

    def close(self) -> None:
        """Stop."""
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, path: str, script: Script) -> None:
        """Let a script answer a path."""
        self.answers[path] = script

    def answer(self, path: str, value: Any, status: int = 200, **headers: str) -> None:
        """Answer a path with JSON, or with bytes as they are."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode("utf-8")
        self.answers[path] = lambda handler: handler.reply(status, body, headers)

    def org(self, name: str) -> str:
        """Have an organization; the path below which it is."""
        base = f"/organizations/{name}"
        self.answer(base, {"name": name, "full_name": name, "guid": "0" * 32})
        return base

    def principals(self, base: str, name: str, *entries: Tuple[str, str, bool]) -> None:
        """Answer about a name, in the form that has several: kind, owner of the key, membership."""
        found = [principal(name, *entry) for entry in entries]
        self.answer(f"{base}/principals/{name}", {"principals": found})

    def group(
        self,
        base: str,
        name: str,
        users: "tuple[str, ...]" = (),
        clients: "tuple[str, ...]" = (),
        groups: "tuple[str, ...]" = (),
    ) -> None:
        """Have a group with these direct members."""
        members = {"users": list(users), "clients": list(clients), "groups": list(groups)}
        self.answer(
            f"{base}/groups/{name}",
            {"actors": [*users, *clients], **members, "name": name, "groupname": name},
        )

    def keys(self, base: str, kind: str, name: str, *owners: str) -> None:
        """Have a key list, with the keys of these owners under their names."""
        path = f"{base}/{kind}s/{name}/keys"
        listed = [{"name": each, "uri": "http://192.0.2.1/", "expired": False} for each in owners]
        self.answer(path, listed)
        for each in owners:
            body = {"name": each, "public_key": public_pem(each), "expiration_date": "infinity"}
            self.answer(f"{path}/{each}", body)

    def asked(self) -> List[str]:
        """The paths that were asked for since the last time."""
        paths = [each.path for each in self.heard]
        self.heard.clear()
        return paths


def principal(name: str, kind: str, owner: str, member: bool) -> Dict[str, Any]:
    """One entry of an answer about a name, with the key of an owner."""
    return {
        "name": name,
        "type": kind,
        "public_key": public_pem(owner),
        "authz_id": "0" * 32,
        "org_member": member,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stub: ChefStub

    def do_GET(self) -> None:
        """Answer as the test has said."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.stub.heard.append(Heard(self.path, headers, self.client_address[1]))
        script = self.stub.answers.get(self.path)
        try:
            if script is None:
                self.reply(404, b'{"error":["Object not found"]}', {})
            else:
                script(self)
        except OSError:
            self.close_connection = True

    def reply(self, status: int, body: bytes, headers: Dict[str, str]) -> None:
        """Send an answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self, text: bytes) -> None:
        """Send bytes one by one, for as long as somebody listens."""
        for number in range(len(text)):
            if self.stub.stopping.wait(0.02):
                break
            self.wfile.write(text[number : number + 1])
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep quiet."""
