"""What nodes are cloned from: a small Debian, and layers of gems. Made once, kept in the cache.

An image is kept by what it is made from: another list of packages makes another one.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Callable, List

from build_cache import kept
from lab.commands import LabError, run

SUITE = "bookworm"
PACKAGES = (
    # An ordinary small server ...
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "libnss-systemd", "openssh-server"),
    *("iproute2", "iputils-ping", "ca-certificates", "procps", "cron", "netbase", "sudo", "curl"),
    *("adduser", "logrotate", "openssl", "nftables"),
    # ... what our packages depend on, so that nodes need no network but that of the lab ...
    *("python3", "python3-zmq", "python3-yaml", "python3-requests", "python3-cryptography"),
    *("python3-bottle", "python3-cheroot", "python3-sqlalchemy", "python3-alembic"),
    *("python3-click", "python3-rich", "python3-msgpack"),
    # ... and what Chef's client and the old push client run on.
    *("ruby", "libzmq3-dev", "libarchive13", "dmidecode"),
    # A node whose clock is wrong is one whose agent sees another time.
    "faketime",
)
ARCHIVE = ("serf", "lsb-base")
"""Packages that are not installed yet: nodes find them as in a mirror of Debian."""

MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("dpkg-db-backup.timer", "systemd-pstore.service", "console-getty.service"),
    *("systemd-ask-password-console.path", "systemd-ask-password-wall.path"),
)
_MOST = 3
"""Images that stay in the cache."""

# Runs inside, while the machine's package sources are still there.
_DOWNLOAD = """set -e
mkdir -p /opt/debian
cd /opt/debian
apt-get download --quiet --quiet -o APT::Sandbox::User=root {packages}
for file in *.deb; do
    dpkg-deb --field "$file"
    echo "Filename: ./$file"
    echo "Size: $(stat --format %s "$file")"
    echo "SHA256: $(sha256sum "$file" | cut -d ' ' -f 1)"
    echo
done >Packages
"""
_CLIENT = """#!/bin/sh
# Only the gems beside this program count, whatever else the node has.
export GEM_HOME={root}/gems GEM_PATH={root}/gems CHEF_LICENSE=accept-no-persist LANG=C.UTF-8
exec /usr/bin/ruby {root}/gems/bin/{program} "$@"
"""


def base(say: Callable[[str], None]) -> Path:
    """The root of a Debian system that boots. Raises LabError."""

    def make(folder: Path) -> None:
        say("making the base image of the nodes (about a minute, once)")
        words = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
        fetch = _DOWNLOAD.format(packages=" ".join(ARCHIVE))
        hook = f'--customize-hook=chroot "$1" sh -c {shlex.quote(fetch)}'
        run([*words, "--include=" + ",".join(PACKAGES), hook, SUITE, folder, *_sources()])
        _prepare(folder)

    return kept("images", "base", Path(__file__).read_bytes(), make, _MOST)


def with_gems(name: str, gems: Path, programs: "tuple[str, ...]") -> Path:
    """A layer with a set of gems in /opt/NAME and their programs in /opt/NAME/bin.

    Args:
        name: of the layer.
        gems: folder of an installed set, of the same Ruby as the nodes have.

    Raises LabError when there is no such set.
    """

    def make(folder: Path) -> None:
        root = f"/opt/{name}"
        target = folder / root[1:]
        (target / "bin").mkdir(parents=True)
        found = list((gems / "gems" / "ruby").glob("*"))
        if len(found) != 1:
            raise LabError(f"{gems} holds no set of gems")
        shutil.copytree(found[0], target / "gems", symlinks=True)
        for program in programs:
            file = target / "bin" / program
            file.write_text(_CLIENT.format(root=root, program=program))
            file.chmod(0o755)

    return kept("images", name, f"{gems.name} {_CLIENT} {programs}".encode(), make, _MOST)


def _sources() -> List[Path]:
    """This machine's own package sources, when they are for that Debian."""
    release = Path("/etc/os-release")
    if not release.exists() or f"VERSION_CODENAME={SUITE}" not in release.read_text():
        return []
    lists = Path("/etc/apt/sources.list.d")
    found = [Path("/etc/apt/sources.list"), *lists.glob("*.list"), *lists.glob("*.sources")]
    return [path for path in found if path.exists() and path.stat().st_size]


def _prepare(folder: Path) -> None:
    """Leave out what disturbs a node, and what makes it a particular one."""
    units = folder / "etc/systemd/system"
    for unit in MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    (units / "default.target").unlink(missing_ok=True)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (folder / "etc/machine-id").write_text("")
    # A name server that nobody can reach costs 15 s in each run of Chef.
    (folder / "etc/resolv.conf").unlink(missing_ok=True)
    (folder / "etc/resolv.conf").write_text("")
    _open_archive(folder)
    journal = folder / "etc/systemd/journald.conf.d"
    journal.mkdir(parents=True, exist_ok=True)
    (journal / "volatile.conf").write_text("[Journal]\nStorage=volatile\n")


def _open_archive(folder: Path) -> None:
    """Leave the packages of ``ARCHIVE`` as the only ones that apt knows."""
    lists = folder / "etc/apt/sources.list.d"
    for path in (folder / "etc/apt/sources.list", *lists.glob("*")):
        path.unlink(missing_ok=True)
    (lists / "lab.list").write_text("deb [trusted=yes] file:/opt/debian ./\n")
    run(["chroot", folder, "apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "update"])
