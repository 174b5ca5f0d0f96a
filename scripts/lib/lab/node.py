"""One node: a clone of an image that boots a real systemd in a container of its own.

It can lose its network, its power and its process 1, and be asked to run commands, with the rights
that root has inside it and no more.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from lab.commands import LabError, Word, run, succeeds

READY_WITHIN = 60.0
"""Seconds for systemd to come up, on a machine that has other things to do."""

# What root in a node has and a process that enters it from here must not keep: with it, setting the
# node's clock would set this machine's.
_WITHOUT = ",".join(
    f"-{name}"
    for name in (
        *("sys_time", "sys_module", "sys_rawio", "sys_pacct", "ipc_lock", "mac_override"),
        *("mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
        "checkpoint_restore",
    )
)
_PATH = "/opt/chef/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENVIRONMENT: Dict[str, str] = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "TERM": "dumb"}

# 133 is how a node asks for a reboot. An overlay that is volatile refuses an old work folder.
_BOOT = """
set -e
name=$1 folder=$2 lower=$3 port=$4 cgroup=push-jobs-$4
echo $$ >$folder/pid
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/$cgroup
echo $$ >/sys/fs/cgroup/$cgroup/cgroup.procs
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=755 nspawn /run/systemd/nspawn
rm -rf $folder/work
mkdir -p $folder/work $folder/merged
layers=lowerdir=$lower,upperdir=$folder/upper,workdir=$folder/work
mount -t overlay node -o $layers,volatile $folder/merged
while :; do
    code=0
    systemd-nspawn --quiet --register=no --keep-unit --boot --machine=$name -D $folder/merged \\
        --network-namespace-path=/run/netns/$port --capability=CAP_NET_ADMIN --resolv-conf=off \\
        --timezone=off --link-journal=no --console=read-only || code=$?
    [ $code = 133 ] || exit $code
done
"""


class Node:
    """A node, made by ``Lab.add``.

    Args:
        name: its host name.
        folder: what it writes, and what is known of it.
        lab: the namespace of its switch.
        port: its place on the switch; also the name of its own namespace.

    Attributes:
        upper: its files that differ from the image; to be written to only while it is off.
    """

    def __init__(self, name: str, folder: Path, lab: str, port: str) -> None:
        self.name = name
        self.upper = folder / "upper"
        self._folder = folder
        self._lab = lab
        self._port = port

    @property
    def address(self) -> str:
        """Its address on the switch, "" before it has one."""
        return self._read("address")

    def make(self, address: str, layers: Sequence[Path]) -> None:
        """Give it an address and its first files."""
        if self._folder.exists():
            raise LabError(f"there is a node {self.name} already; remove it first")
        self.upper.mkdir(parents=True)
        (self._folder / "address").write_text(address)
        (self._folder / "layers").write_text(":".join(map(str, layers)))
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{address} {self.name}\n")
        identity = Path("/proc/sys/kernel/random/uuid").read_text().replace("-", "")
        self.write("/etc/machine-id", identity)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into it before it boots."""
        file = self.upper / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def boot(self) -> None:
        """Switch it on and wait until its systemd has started everything. Raises LabError."""
        self._plug_in()
        (self._folder / "pid").unlink(missing_ok=True)
        alone = ["setsid", "--fork", "unshare", "-m", "--propagation", "private"]
        words = [*alone, "bash", "-c", _BOOT, "node"]
        more = [self.name, str(self._folder), self._read("layers"), self._port]
        with open(self._folder / "console.log", "ab") as console:
            subprocess.run(
                [*words, *more],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                check=True,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until its systemd has nothing left to start. Raises LabError."""
        deadline, state = time.monotonic() + READY_WITHIN, ""
        while time.monotonic() < deadline:
            state = self._state()
            if state in ("running", "degraded"):
                return
            time.sleep(0.05)
        console = (self._folder / "console.log").read_text(errors="replace")[-2000:]
        raise LabError(f"node {self.name} did not come up ({state or 'no systemd'}): {console}")

    def _state(self) -> str:
        if self.pid is None:
            return ""
        words = self.inside(["systemctl", "is-system-running"])
        done = subprocess.run(words, text=True, capture_output=True, check=False)
        return done.stdout.strip()

    @property
    def pid(self) -> Optional[int]:
        """Its process 1, as this machine sees it; None while it is off."""
        shell = self._shell()
        container = _child(shell) if shell else None
        return _child(container) if container else None

    @property
    def started(self) -> str:
        """When its process 1 was started, in ticks of this machine; "" while it is off.

        Looked at from outside: a node that shuts down stops what it finds inside, and nsenter,
        which waits for that, would stop with it.
        """
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
        except OSError:
            return ""

    def inside(self, words: Sequence[Word]) -> List[str]:
        """A command line that runs inside, as root of the node. Raises LabError when it is off."""
        if self.pid is None:
            raise LabError(f"node {self.name} is off")
        enter = ["nsenter", "-t", str(self.pid), "-a", "--wdns=/", "--"]
        drop = ["setpriv", f"--bounding-set={_WITHOUT}", "env", "-i"]
        variables = [f"{name}={value}" for name, value in _ENVIRONMENT.items()]
        return [*enter, *drop, *variables, *map(str, words)]

    def run(self, *words: Word, text: str = "") -> str:
        """What a command prints inside. Raises LabError when it fails."""
        return run(self.inside(words), text)

    def put(self, source: Path, path: str) -> None:
        """Copy a folder or file into it while it runs; ``path`` is the folder that will hold it."""
        pack = ["tar", "-C", str(source.parent), "-cf", "-", source.name]
        unpack = ["sh", "-c", 'mkdir -p "$1" && tar -C "$1" -xf - --no-same-owner', "sh", path]
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packed:
            done = subprocess.run(self.inside(unpack), stdin=packed.stdout, check=False)
        if packed.returncode or done.returncode:
            raise LabError(f"{source} could not be copied into node {self.name}")

    # Ends

    def off(self) -> None:
        """Shut it down in order."""
        self._end(signal.SIGRTMIN + 4)

    def crash(self) -> None:
        """End it as a kernel that panics would: nothing inside hears of it."""
        # Never systemd-nspawn itself: that would leave half a node.
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        pid, shell = self.pid, self._shell()
        if pid is not None:
            os.kill(pid, number)
        deadline = time.monotonic() + READY_WITHIN
        while shell is not None and _is_alive(shell) and time.monotonic() < deadline:
            time.sleep(0.02)
        (self._folder / "pid").unlink(missing_ok=True)

    def cut(self) -> None:
        """Pull its network cable."""
        run(["ip", "-n", self._lab, "link", "set", self._port, "down"])

    def heal(self) -> None:
        """Plug the cable in again."""
        run(["ip", "-n", self._lab, "link", "set", self._port, "up"])

    def remove(self) -> None:
        """Leave nothing of it behind."""
        self.crash()
        succeeds(["ip", "netns", "del", self._port])
        succeeds(["ip", "-n", self._lab, "link", "del", self._port])
        self._remove_cgroup()
        shutil.rmtree(self._folder, ignore_errors=True)

    # How it is held

    def _plug_in(self) -> None:
        if Path(f"/run/netns/{self._port}").exists():
            return
        run(["ip", "netns", "add", self._port])
        peer = ["type", "veth", "peer", "name", "eth0", "netns", self._port]
        run(["ip", "-n", self._lab, "link", "add", self._port, *peer])
        run(["ip", "-n", self._lab, "link", "set", self._port, "master", "br0", "up"])
        own = ["ip", "-n", self._port]
        # Always the same for an address: others still remember the node that had it before.
        hardware = "02:00:" + ":".join(f"{int(part):02x}" for part in self.address.split("."))
        run([*own, "link", "set", "eth0", "address", hardware])
        run([*own, "addr", "add", f"{self.address}/24", "dev", "eth0"])
        for link in ("lo", "eth0"):
            run([*own, "link", "set", link, "up"])

    def _remove_cgroup(self) -> None:
        for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
            group = root / f"push-jobs-{self._port}"
            if group.is_dir():
                succeeds(["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])

    def _shell(self) -> Optional[int]:
        """The process that holds its mounts, if it lives."""
        text = self._read("pid")
        alive = text.isdigit() and _is_alive(int(text)) and self.name in _command_line(int(text))
        return int(text) if alive else None

    def _read(self, name: str) -> str:
        try:
            return (self._folder / name).read_text().strip()
        except FileNotFoundError:
            return ""


def _child(pid: int) -> Optional[int]:
    """The first child of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def _is_alive(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"


def _command_line(pid: int) -> List[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
