"""A real nginx with our sample, and a stand-in for the Chef server behind it.

The main file, ``push-jobs.conf``, is used as it is. In the three site files ``_replaced`` puts the
names, ports and certificates of a test in the place of those of the sample.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from raw_server import PATIENCE
from waiting import wait_until

SAMPLE = Path(__file__).resolve().parents[2] / "packaging" / "nginx"
PROGRAM = "/usr/sbin/nginx"
CHEF_MARK = "answered by the Chef server"

_OUTER = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 128; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {sample}/push-jobs.conf;
}}
"""


class ChefStandIn:
    """Answers every request with a marked text over TLS, and remembers them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.seen: List[Tuple[str, str, Dict[str, str]]] = []
        seen = self.seen

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                seen.append((self.command, self.path, dict(self.headers)))
                body = f"{CHEF_MARK}: {self.path}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Nginx:
    """One nginx on a free port of 127.0.0.1.

    Args:
        folder: an empty folder of its own.
        values: what stands in the sample's three site files, and what to put in its place.
    """

    def __init__(self, folder: Path, values: Dict[str, str]) -> None:
        folder.mkdir()
        self.folder = folder
        # Bound all the time but never listening: nobody else can take the port before nginx does.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port = int(self._holder.getsockname()[1])
        self._process: Optional["subprocess.Popen[bytes]"] = None
        values = {"listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl reuseport", **values}
        site = folder / "push-jobs"
        site.mkdir()
        for file in (SAMPLE / "push-jobs").iterdir():
            (site / file.name).write_text(_replaced(file.read_text(), values))
        outer = _OUTER.format(folder=folder, sample=SAMPLE)
        (folder / "nginx.conf").write_text(outer)

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self.folder / "output.log").open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(lambda: self._ended() or self._listens(), "nginx to listen")
        assert not self._ended(), (self.folder / "error.log").read_text()

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def close(self) -> None:
        """Leave no process behind, and print the logs."""
        self._holder.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
        for log in sorted(self.folder.glob("*.log")):
            print(f"--- {log}\n{log.read_text()}")


def _replaced(text: str, values: Dict[str, str]) -> str:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    text = "\n".join(lines) + "\n"
    for old, new in values.items():
        text = text.replace(old, new)
    return text


def site_values(data: Path, push: str, chef: str, chef_ca: Path) -> Dict[str, str]:
    """What stands in the site files for two servers of this machine.

    Args:
        data: a data directory, whose certificate nginx shows.
        push: ``HOST:PORT`` of our server, which speaks plain HTTP.
        chef: URL of the Chef server.
        chef_ca: what has signed its certificate, if it has one.
    """
    files = "/etc/nginx/push-jobs"
    scheme, _, chef_place = chef.partition("://")
    return {
        "127.0.0.1:10003": push,
        "127.0.0.1:8443": chef_place,
        "https://chef_server": f"{scheme}://chef_server",
        f"{files}/chef.example.com.crt": str(data / "server.crt"),
        f"{files}/chef.example.com.key": str(data / "server.key"),
        f"{files}/chef-server-ca.crt": str(chef_ca),
        "chef.example.com": "localhost",
    }


def missing() -> Optional[str]:
    """Why there is no nginx here, or None."""
    found = os.access(PROGRAM, os.X_OK)
    return None if found else f"{PROGRAM} is not there; on Debian: apt-get install nginx-light"
