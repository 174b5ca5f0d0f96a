"""The Debian packages and wheels: what is in them, whose it is, what Debian's own checks say."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List

import built_packages
import pytest
from peer import Missing, installed, skip

PACKAGES = ("push-jobs", "push-jobs-agent", "push-jobs-server", "python3-push-jobs-wire")
UNITS = {
    "push-jobs-agent": ("chef-push-jobs-client.service", "chef-push-jobs-runner.service"),
    "push-jobs-server": ("push-jobs-server.service",),
}
LATER = "0.1.9"


@pytest.fixture(scope="module")
def built() -> Path:
    """The packages of the sources as they are."""
    return _built(None)


def _built(version: "str | None") -> Path:
    try:
        for program, package in (("dh", "debhelper"), ("dpkg-buildpackage", "dpkg-dev")):
            installed(f"/usr/bin/{program}", package)
        return built_packages.packages(version)
    except Missing as reason:
        skip(reason)


def _deb(folder: Path, package: str) -> Path:
    (found,) = folder.glob(f"{package}_*.deb")
    return found


def _output(*words: str) -> str:
    return subprocess.run(words, text=True, capture_output=True, check=True).stdout


def _fields(deb: Path) -> Dict[str, str]:
    lines = _output("dpkg-deb", "-f", str(deb)).splitlines()
    return dict(line.split(": ", 1) for line in lines if re.match(r"[A-Z]\S*: ", line))


def _contents(deb: Path) -> Dict[str, str]:
    """Mode and owner of each file, by path."""
    lines = (line.split(None, 5) for line in _output("dpkg-deb", "-c", str(deb)).splitlines())
    return {words[5].split(" -> ")[0].lstrip("."): " ".join(words[:2]) for words in lines}


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as if all packages were installed below it."""
    root = tmp_path_factory.mktemp("root")
    for package in PACKAGES:
        _output("dpkg-deb", "-x", str(_deb(built, package)), str(root))
    return root


def test_there_is_a_package_and_a_wheel_of_everything_with_a_checksum(built: Path) -> None:
    lines = (built / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    files = sorted(path.name for path in built.iterdir() if path.name != "SHA256SUMS")
    assert sorted(sums) == files
    assert len(files) == 8
    for name, expected in sums.items():
        assert hashlib.sha256((built / name).read_bytes()).hexdigest() == expected


def test_lintian_finds_no_error(built: Path) -> None:
    try:
        lintian = installed("/usr/bin/lintian", "lintian")
    except Missing as reason:
        skip(reason)
    done = subprocess.run(
        [lintian, "--fail-on", "error", "--allow-root", *map(str, built.glob("*.deb"))],
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_agent_takes_the_place_of_the_old_client(built: Path) -> None:
    fields = _fields(_deb(built, "push-jobs-agent"))
    for relation in ("Conflicts", "Replaces"):
        assert set(fields[relation].split(", ")) == {"push-jobs-client", "opscode-push-jobs-client"}
    assert fields["Provides"] == "push-jobs-client"


def test_all_packages_come_in_one_version(built: Path) -> None:
    versions = {_fields(_deb(built, package))["Version"] for package in PACKAGES}
    assert len(versions) == 1
    for package in PACKAGES[:3]:
        assert (
            f"python3-push-jobs-wire (= {versions.copy().pop()})"
            in _fields(_deb(built, package))["Depends"]
        )


def test_everything_belongs_to_root_and_nobody_else_may_write(built: Path) -> None:
    for package in PACKAGES:
        for path, mode in _contents(_deb(built, package)).items():
            assert mode.endswith("root/root"), path
            assert mode[0] == "l" or (mode[5] == "-" and mode[8] == "-"), (path, mode)


def test_the_programs_are_there_under_their_old_and_new_names(unpacked: Path) -> None:
    programs = {path.name for path in (unpacked / "usr/bin").iterdir()}
    assert programs == {
        *("pushy-client", "push-jobs-client", "ctl-pushy-client", "push-jobs-runner"),
        *("push-jobs-server", "push-jobs"),
    }


@pytest.mark.parametrize("program", ["pushy-client", "push-jobs-server", "push-jobs"])
def test_an_unpacked_program_says_the_version_of_its_package(
    program: str, built: Path, unpacked: Path
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked / "usr/lib/python3/dist-packages")}
    done = subprocess.run(
        ["/usr/bin/python3", str(unpacked / "usr/bin" / program), "--version"],
        env=environment,
        text=True,
        capture_output=True,
        check=True,
    )
    version = _fields(_deb(built, "push-jobs"))["Version"]
    assert done.stdout.split() == [program, version]


def test_units_are_well_formed(unpacked: Path) -> None:
    try:
        analyze = installed("/usr/bin/systemd-analyze", "systemd")
    except Missing as reason:
        skip(reason)
    units = [
        str(unpacked / "lib/systemd/system" / unit) for names in UNITS.values() for unit in names
    ]
    # The programs are looked for below the same root.
    for program in ("kill",):
        (unpacked / "bin").mkdir(exist_ok=True)
        shutil.copy(f"/bin/{program}", unpacked / "bin" / program)
    done = subprocess.run(
        [analyze, "verify", "--man=no", f"--root={unpacked}", *(Path(unit).name for unit in units)],
        text=True,
        capture_output=True,
        check=False,
    )
    told = [
        line for line in done.stderr.splitlines() if "push-jobs" in line and "Failed to" not in line
    ]
    assert not told, done.stderr


def _unit(unpacked: Path, name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=["="])
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(unpacked / "lib/systemd/system" / name)
    return parser


@pytest.mark.parametrize(
    "unit, bound",
    [("chef-push-jobs-client.service", 1.4), ("push-jobs-server.service", 1.6)],
)
def test_what_faces_the_network_has_few_rights(unpacked: Path, unit: str, bound: float) -> None:
    try:
        analyze = installed("/usr/bin/systemd-analyze", "systemd")
    except Missing as reason:
        skip(reason)
    done = subprocess.run(
        [
            analyze,
            "security",
            "--offline=true",
            "--no-pager",
            str(unpacked / "lib/systemd/system" / unit),
        ],
        text=True,
        capture_output=True,
        check=True,
    )
    level = re.search(r"exposure level.*: ([0-9.]+) ", done.stdout)
    assert level is not None and float(level.group(1)) <= bound, done.stdout


def test_the_runner_restricts_no_job_and_is_never_killed_with_one(unpacked: Path) -> None:
    service = _unit(unpacked, "chef-push-jobs-runner.service")["Service"]
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    restricting = ("Protect", "Private", "Restrict", "SystemCall", "NoNewPrivileges", "Capability")
    assert not [key for key in service if key.startswith(restricting)]


def test_an_upgrade_asks_the_runner_to_start_again_when_it_is_idle(
    built: Path, tmp_path: Path
) -> None:
    _output("dpkg-deb", "-e", str(_deb(built, "push-jobs-agent")), str(tmp_path))
    postinst, prerm = ((tmp_path / name).read_text() for name in ("postinst", "prerm"))
    assert "--kill-who=main --signal=TERM chef-push-jobs-runner.service" in postinst
    restarts: List[str] = re.findall(r"deb-systemd-invoke .*", postinst + prerm)
    assert restarts
    for line in restarts:
        if "chef-push-jobs-runner" in line:
            assert "restart" not in line, line


def test_the_same_sources_can_be_built_as_a_later_version(built: Path, tmp_path: Path) -> None:
    later = _built(LATER)
    assert {_fields(path)["Version"] for path in later.glob("*.deb")} == {LATER}
    assert all(f"-{LATER}-" in path.name for path in later.glob("*.whl"))
    _output("dpkg-deb", "-x", str(_deb(later, "push-jobs-agent")), str(tmp_path))
    version = tmp_path / "usr/lib/python3/dist-packages/push_jobs_agent/version.py"
    assert f'VERSION = "{LATER}"' in version.read_text()


def test_a_version_that_is_none_is_refused(tmp_path: Path) -> None:
    script = str(built_packages.ROOT / "scripts" / "package")
    done = subprocess.run(
        [script, "--version", "latest", str(tmp_path)], text=True, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert "a version has three numbers" in done.stderr
    assert not list(tmp_path.glob("*.deb"))
