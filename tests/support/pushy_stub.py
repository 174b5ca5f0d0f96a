"""A small real HTTPS server for tests of the workstation: verifies signatures, plays scripted jobs.

It is no model of the server: only the routes and the answers that the workstation needs are here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type, Union
from urllib.parse import parse_qs, unquote, urlsplit

from stub_certificates import pem_of, tls_context, user_key, write_private
from stub_jobs import new_job

from push_jobs_wire import chef_auth

Record = Dict[str, Any]
Frame = Tuple[str, Mapping[str, Record]]
"""The status of a job, and what is different from a new node for each of its nodes."""

Feed = List[Union[bytes, threading.Event]]
"""What one reader of a feed is sent, and what is waited for in between."""


def ran(exit_code: int = 0, seconds: int = 2, **more: object) -> Record:
    """Return the fields of a node where the command ended with ``exit_code``."""
    return {
        "status": "failed" if exit_code else "succeeded",
        "exit_code": exit_code,
        "started_at": "2024-05-14T09:27:00Z",
        "ended_at": f"2024-05-14T09:27:{seconds:02d}Z",
        **more,
    }


@dataclass
class Answer:
    """An answer given instead of the usual one; ``raw`` bytes go out as they are, then the end."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    raw: Optional[bytes] = None
    after_work: bool = False
    """Do what was asked first: only the answer is another one."""


@dataclass(frozen=True)
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class PushyStub:
    """The server; use it with ``with``. Its files are written to ``folder``."""

    def __init__(self, folder: Path, *, tls: bool = True) -> None:
        self.user = "alice"
        self.key = folder / "alice.pem"
        self.ca = folder / "ca.pem"
        self.nodes: Dict[str, Tuple[bool, bool]] = {}
        self.details: Optional[Dict[str, Record]] = None
        self.plays: Dict[str, List[Frame]] = {}
        self.after_cancel: List[Frame] = []
        self.outputs: Dict[Tuple[str, str], bytes] = {}
        self.jobs: List[Record] = []
        self.identity: Record = {}
        self.seen: List[Seen] = []
        self.next_answers: List[Answer] = []
        self.connections = 0
        self.hold: Optional[threading.Event] = None
        self.feeds: Dict[str, List[Feed]] = {}
        self.feed_ids: List[Optional[str]] = []
        write_private(self.key, pem_of(user_key()))
        self._ids: List[str] = []
        self._keys: Dict[str, str] = {}
        self._frames: Dict[str, List[Frame]] = {}
        context = tls_context(folder) if tls else None
        self._server = _Server(self, context)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        host, port = self._server.server_address[:2]
        self.port = int(port)
        self.origin = f"{'https' if tls else 'http'}://{str(host)}:{port}"
        self.url = f"{self.origin}/organizations/acme"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the CA's certificate, in the form that ``init`` prints."""
        der = ssl.PEM_cert_to_DER_cert(self.ca.read_text())
        digits = hashlib.sha256(der).hexdigest()
        return ":".join(digits[at : at + 2] for at in range(0, 64, 2))

    def environ(self, folder: Path) -> Dict[str, str]:
        """Return the environment of a user who works with this server."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PUSHJOBS_SERVER": self.url,
            "PUSHJOBS_USER": self.user,
            "PUSHJOBS_KEY": str(self.key),
            "PUSHJOBS_CA": str(self.ca),
        }

    def will_be(self, *ids: str) -> None:
        """Give the next jobs these ids."""
        self._ids.extend(ids)

    def add_job(self, command: str = "true", nodes: Tuple[str, ...] = ("web1",)) -> str:
        """Put a job there as if it had been started; return its id."""
        return self.create({"command": command, "nodes": list(nodes)})

    def start(self, body: Record, key: Optional[str]) -> str:
        """Answer a POST: a key that was there before means the first job."""
        first = self._keys.get(key or "") or self.create(body)
        return self._keys.setdefault(key, first) if key else first

    def create(self, body: Record) -> str:
        """Create a job from the body of a POST."""
        job_id = self._ids.pop(0) if self._ids else uuid.uuid4().hex
        names = body["nodes"]
        self._frames[job_id] = list(self.plays.get(body["command"], [_all_succeed(names)]))
        self.jobs.append(new_job(job_id, body))
        return job_id

    def step(self, job_id: str) -> Optional[Record]:
        """Return the detail record of a job after the next frame of its play."""
        job = next((job for job in self.jobs if job["id"] == job_id), None)
        if job is None:
            return None
        frames = self._frames[job_id]
        status, changes = frames.pop(0) if len(frames) > 1 else frames[0]
        job["status"] = status
        for node in job["nodes"]:
            node.update(changes.get(node["name"], {}))
        return job

    def cancel(self, job_id: str, body: Record) -> Optional[Record]:
        """Go on with the frames in ``after_cancel``; return the answer to the cancel."""
        job = next((job for job in self.jobs if job["id"] == job_id), None)
        if job is None:
            return None
        chosen = body.get("nodes", [node["name"] for node in job["nodes"]])
        nodes = [
            {
                "name": node["name"],
                "status": node["status"],
                "cancel": "requested" if node["status"] in ("new", "running") else "ended",
            }
            for node in job["nodes"]
            if node["name"] in chosen
        ]
        if self.after_cancel:
            self._frames[job_id] = self.after_cancel
        return {"id": job_id, "status": job["status"], "nodes": nodes}

    def __enter__(self) -> PushyStub:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stub: PushyStub, context: Optional[ssl.SSLContext]) -> None:
        self.stub = stub
        self._context = context
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.stub.connections += 1
        try:
            if self._context is None:
                super().finish_request(request, client_address)
                return
            with self._context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except (OSError, ValueError):
            pass  # the client went away or did not like the certificate

    def shutdown_request(self, request: Any) -> None:
        try:
            super().shutdown_request(request)
        except OSError:
            pass  # the TLS socket has already closed it


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay quiet."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        stub = self.server.stub
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = dict(self.headers.items())
        if "/job_status_feed/" in self.path:
            self._feed(headers)
            return
        stub.seen.append(Seen(self.command, self.path, headers, body))
        if stub.hold is not None:
            stub.hold.wait(30)
        if stub.next_answers:
            answer = stub.next_answers.pop(0)
            if answer.after_work:
                self._route(body)
            self._send(answer)
        elif urlsplit(self.path).path == "/pushy/v1/ca":
            self._send(Answer(200, stub.ca.read_bytes(), {"Content-Type": "text/plain"}))
        else:
            self._send(self._refused(headers, body) or self._route(body))

    def _feed(self, headers: Mapping[str, str]) -> None:
        """The next reader's part of a job's feed; 404 when none is left. Never in ``seen``."""
        stub = self.server.stub
        feeds = stub.feeds.get(self.path.rsplit("/", 1)[1])
        refusal = self._refused(headers, b"")
        if refusal is not None or not feeds:
            self._send(refusal or _json(404, {"error": ["no feed"]}))
            return
        stub.feed_ids.append(headers.get("Last-Event-ID"))
        feed = feeds.pop(0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in feed:
            if isinstance(piece, bytes):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                piece.wait(20)
        self.wfile.write(b"0\r\n\r\n")

    def _refused(self, headers: Mapping[str, str], body: bytes) -> Optional[Answer]:
        try:
            claim = chef_auth.read_claim(headers, time.time())
            if claim.user_id != self.server.stub.user:
                unknown = f"Failed to authenticate as '{claim.user_id}'."
                return _json(401, {"error": [unknown]})
            chef_auth.verify(
                claim,
                method=self.command,
                target=self.path,
                body=body,
                public_keys=[user_key().public_key()],
            )
        except chef_auth.AuthError as error:
            return _json(error.status, {"error": error.error})
        return None

    def _route(self, body: bytes) -> Answer:
        stub = self.server.stub
        path = urlsplit(self.path).path
        prefix = "/organizations/acme/pushy"
        if not path.startswith(prefix):
            return _json(404, {"error": ["organization 'other' does not exist."]})
        parts = [unquote(part) for part in path[len(prefix) :].split("/")[1:]]
        if parts == ["jobs"] and self.command == "POST":
            job_id = stub.start(json.loads(body), self.headers["Idempotency-Key"])
            return _json(201, {"uri": f"{stub.url}/pushy/jobs/{job_id}"})
        if parts == ["v1", "jobs"]:
            return self._page()
        if parts[:2] == ["v1", "jobs"] and self.command == "POST":
            answer = stub.cancel(parts[2], json.loads(body))
            return _json(404, {"error": ["no such job"]}) if answer is None else _json(200, answer)
        if parts[:2] == ["v1", "jobs"]:
            job = stub.step(parts[2])
            return _json(404, {"error": ["no such job"]}) if job is None else _json(200, job)
        if parts[0] in ("v1", "node_states"):
            return self._people(parts)
        if re.search("/output/", path):
            return self._output(parts[3], parts[4])
        return _json(404, {"error": ["not found"]})

    def _people(self, parts: List[str]) -> Answer:
        """Who asks, and nodes; a server without details of nodes has no address for them."""
        stub = self.server.stub
        if parts == ["v1", "whoami"]:
            return _json(200, stub.identity)
        if parts[0] == "node_states":
            return self._nodes(parts[1:])
        if parts[1] != "nodes" or stub.details is None:
            return _json(404, {"error": ["not found"]})
        if parts[2:]:
            return _json(200, stub.details[parts[2]])
        return _json(200, {"nodes": list(stub.details.values())})

    def _page(self) -> Answer:
        """The jobs by id and limit; other filters are for the real server to apply."""
        asked = parse_qs(urlsplit(self.path).query)
        start, limit = asked.get("id", [""])[0], int(asked["limit"][0])
        end = int(asked.get("cursor", [str(len(self.server.stub.jobs))])[0])
        newest_first = list(enumerate(self.server.stub.jobs))[:end][::-1]
        found = [(at, job) for at, job in newest_first if job["id"].startswith(start)]
        following = str(found[limit - 1][0]) if len(found) > limit else None
        jobs = [{key: job[key] for key in job if key != "nodes"} for _, job in found[:limit]]
        return _json(200, {"jobs": jobs, "next": following})

    def _nodes(self, names: List[str]) -> Answer:
        nodes = self.server.stub.nodes
        words = {True: "available", False: "unavailable"}
        if not names:
            online = [name for name in sorted(nodes) if nodes[name][0]]
            listed = [{"node_name": n, "availability": words[nodes[n][1]]} for n in online]
            return _json(200, listed)
        is_online, available = nodes.get(names[0], (False, False))
        state = {"status": "online" if is_online else "offline", "availability": words[available]}
        return _json(200, {"node_name": names[0], **state})

    def _output(self, node: str, stream: str) -> Answer:
        content = self.server.stub.outputs.get((node, stream))
        if content is None:
            return _json(404, {"error": ["no output"]})
        if self.headers["Accept"] != "application/octet-stream":
            return _json(406, {"error": ["not acceptable"]})
        return Answer(200, content, {"Content-Type": "application/octet-stream"})

    def _send(self, answer: Answer) -> None:
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


def free_port() -> int:
    """Return a port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _json(status: int, value: object) -> Answer:
    return Answer(status, json.dumps(value).encode())


def _all_succeed(names: List[str]) -> Frame:
    return "complete", {name: ran(0) for name in names}
