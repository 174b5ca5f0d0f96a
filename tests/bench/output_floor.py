"""The floor of bench output: a line's way from the command to the reader, without our code.

The same processes with the same libraries between them, and nothing in them that is ours: one
reads the command's pipe, appends to a file and tells the next over a Unix socket; that one reads
the file and sends what is new over CURVE; the server commits it with FULL and pushes it through TLS
to who reads. No names, signatures, checks, acknowledgements or repeats.
"""

from __future__ import annotations

import os
import queue
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence

import bottle
import requests
import zmq
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server


def floor_ms(command: Sequence[str], data: Path, folder: Path) -> List[float]:
    """The age in milliseconds of each line that ``command`` prints, which are times in seconds.

    Args:
        command: what is run; each line is the time at which it was printed.
        data: data directory of a server, for its certificate.
        folder: an empty one.
    """
    public, secret = zmq.curve_keypair()
    ours, theirs = socket.socketpair()
    with ExitStack() as stack:
        server = _start(stack, "serve", data, folder, secret.decode(), out=True)
        assert server.stdout is not None
        http_port, zmq_port = server.stdout.readline().split()
        lines = _lines(stack, f"https://127.0.0.1:{int(http_port)}/", data / "ca.crt")
        spool = folder / "spool"
        spool.touch()
        _start(stack, "send", spool, theirs.fileno(), int(zmq_port), public.decode(), keep=theirs)
        _start(stack, "spool", spool, ours.fileno(), *command, keep=ours)
        ages = [(time.time() - float(line)) * 1000 for line in lines]
    return ages


def _lines(stack: ExitStack, url: str, trust: Path) -> Iterator[bytes]:
    """The lines of the feed, as they come; it is open when this returns."""
    session = stack.enter_context(requests.Session())
    session.trust_env = False
    response = session.get(url, stream=True, verify=str(trust))
    pieces: Iterator[bytes] = response.iter_content(chunk_size=None)
    return (line for piece in pieces for line in piece.split())


def _start(
    stack: ExitStack,
    *words: object,
    out: bool = False,
    keep: Optional[socket.socket] = None,
) -> "subprocess.Popen[bytes]":
    """Start a part of the chain; it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, *map(str, words)],
        stdout=subprocess.PIPE if out else None,
        pass_fds=[] if keep is None else [keep.fileno()],
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    if keep is not None:
        keep.close()
    return process


def spool(path: str, fd: str, *command: str) -> None:
    """Run the command; append what it prints to a file and say so."""
    peer = socket.socket(fileno=int(fd))
    with open(path, "ab", buffering=0) as file:
        with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
            assert process.stdout is not None
            while data := os.read(process.stdout.fileno(), 65536):
                file.write(data)
                peer.sendall(b".")
    peer.close()


def send(path: str, fd: str, port: str, public: str) -> None:
    """Send what is new in the file, whenever there is something; nothing at the end."""
    peer = socket.socket(fileno=int(fd))
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.curve_serverkey = public.encode()
    dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
    dealer.connect(f"tcp://127.0.0.1:{port}")
    with open(path, "rb", buffering=0) as file:
        while peer.recv(4096):
            dealer.send(file.read())
    dealer.send(b"")
    dealer.close(10_000)


def serve(data: str, folder: str, secret: str) -> None:
    """Commit what comes, then push it to the one who reads."""
    lines: "queue.Queue[bytes]" = queue.Queue()

    def feed() -> Iterator[bytes]:
        yield b" "
        while line := lines.get():
            yield line

    app = bottle.Bottle()
    app.route("/", callback=feed)
    server = Server(("127.0.0.1", 0), app)
    server.ssl_adapter = BuiltinSSLAdapter(f"{data}/server.crt", f"{data}/server.key")
    server.prepare()
    router = zmq.Context.instance().socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey = True, secret.encode()
    port = router.bind_to_random_port("tcp://127.0.0.1")
    print(server.bind_addr[1], port, flush=True)
    threading.Thread(target=_commit, args=(router, lines, folder), daemon=True).start()
    server.serve()


def _commit(router: "zmq.Socket[bytes]", lines: "queue.Queue[bytes]", folder: str) -> None:
    database = sqlite3.connect(os.path.join(folder, "floor.db"), isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE t (a BLOB)")
    while True:
        line = router.recv_multipart()[1]
        database.execute("INSERT INTO t VALUES (?)", (line,))
        lines.put(line)


PARTS: Dict[str, Callable[..., None]] = {"spool": spool, "send": send, "serve": serve}

if __name__ == "__main__":
    PARTS[sys.argv[1]](*sys.argv[2:])
