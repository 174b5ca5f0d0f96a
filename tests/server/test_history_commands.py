"""``push-jobs-server purge`` and ``audit export``, and the rows that administration leaves."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from server_commands import HOST, Commands, copy_of
from stored_jobs import created

from push_jobs_server import audit, data, settings
from push_jobs_server.cli_times import show_age
from push_jobs_server.operators import operator_name
from push_jobs_server.records import Audited
from push_jobs_server.store import Store
from push_jobs_wire.states import JobStatus

DAY = 86400.0


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "data"
    data.init(data.Plan(folder, (HOST,), "acme", "alice"), time.time())
    return folder


@pytest.fixture
def run(tmp_path: Path, template: Path, capsys: "pytest.CaptureFixture[str]") -> Commands:
    return Commands(copy_of(template, tmp_path / "data"), capsys)


@pytest.fixture
def store(run: Commands) -> Iterator[Store]:
    """The database of the commands, open as a running server has it."""
    with closing(Store(settings.load(run.data_dir)["database.url"])) as opened:
        yield opened


@pytest.fixture
def ages(store: Store) -> None:
    """Jobs that ended so many days ago; one goes on, one belongs to others."""
    now = time.time()
    for number, days in enumerate((100, 40, 20, 2, 0.5), 1):
        store.write(
            [
                created(
                    number, created_at=now - days * DAY, status=JobStatus.COMPLETE, env={"A": "s"}
                )
            ]
        )
    store.write([created(8, created_at=now - 200 * DAY)])
    store.write(
        [created(9, org="other", created_at=now - 50 * DAY, status=JobStatus.QUORUM_FAILED)]
    )


def numbers(store: Store, org: str = "acme") -> List[int]:
    return [int(job.id, 16) for job in store.jobs(org)]


def trail(run: Commands, *words: str) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in run.good("audit", "export", *words).splitlines()]


def test_without_limits_those_of_the_settings_hold(run: Commands, store: Store, ages: None) -> None:
    result = run("purge")
    assert (result.code, result.err) == (0, "")
    head, row = result.out.splitlines()
    assert head.split() == ["ORGANIZATION", "REMOVED", "CREATED", "FROM", "TO"]
    assert row.split()[:2] == ["acme", "1"]
    assert numbers(store) == [8, 2, 3, 4, 5]
    assert run("purge") == type(result)(0, "", "there is nothing to remove\n")


def test_a_dry_run_says_the_same_and_removes_nothing(
    run: Commands, store: Store, ages: None
) -> None:
    words = ("purge", "--older-than", "30d", "--format", "json")
    dry = json.loads(run.good(*words, "--dry-run"))
    assert numbers(store) == [8, 1, 2, 3, 4, 5] and numbers(store, "other") == [9]
    assert not [line for line in trail(run) if line["action"] == "job.purge"]
    real = json.loads(run.good(*words))
    assert numbers(store) == [8, 3, 4, 5] and numbers(store, "other") == []
    assert [(each["organization"], each["jobs"]) for each in real] == [("acme", 2), ("other", 1)]
    assert [{**each, "removed": True} for each in dry] == real


def test_one_organization_by_number(run: Commands, store: Store, ages: None) -> None:
    result = run("purge", "--keep", "0", "--org", "acme")
    assert result.out.splitlines()[1].split()[:2] == ["acme", "4"]
    assert "1 more stay: they ended less than 1 d ago" in result.err
    assert numbers(store) == [8, 5] and numbers(store, "other") == [9]
    (row,) = [line for line in trail(run) if line["action"] == "job.purge"]
    assert (row["org"], row["actor"], row["actor_kind"], row["address"]) == (
        "acme", operator_name(), "operator", "local",
    )  # fmt: skip
    assert (row["details"]["jobs"], row["details"]["keep"]) == (4, 0)


def test_both_limits_hold(run: Commands, store: Store, ages: None) -> None:
    run.good("purge", "--keep", "2", "--older-than", "10d")
    assert numbers(store) == [8, 4, 5]


@pytest.mark.parametrize(
    "words", [["--older-than", "30"], ["--older-than", "-1d"], ["--keep", "-1"]]
)
def test_wrong_limits_remove_nothing(
    run: Commands, store: Store, ages: None, words: List[str]
) -> None:
    assert run("purge", *words).code == 2
    assert len(numbers(store)) == 6


# The audit trail


def test_administration_leaves_rows(run: Commands, tmp_path: Path) -> None:
    before = trail(run)
    assert [(row["action"], row["target"]) for row in before] == [
        ("org.create", "acme"),
        ("user.create", "alice"),
        ("org.add-user", "alice"),
        ("group.add", "admins"),
    ]
    key = tmp_path / "key.pem"
    run.good("client", "create", "web1", "--key-out", key)
    run.good("client", "add-key", "web1", "second", "--key-out", tmp_path / "second.pem")
    run.good("client", "remove-key", "web1", "second")
    run.good("group", "create", "web")
    run.good("group", "add", "web", "--client", "web1")
    run.good("group", "remove", "web", "--client", "web1")
    run.good("group", "delete", "web")
    run.good("org", "remove-user", "acme", "alice")
    run.good("client", "delete", "web1")
    run.good("user", "delete", "alice")
    run.good("org", "delete", "acme")
    run.bad("client", "delete", "web1", "--org", "acme")
    after = trail(run)[len(before) :]
    assert [(row["action"], row["target"], row["org"]) for row in after] == [
        ("client.create", "web1", "acme"),
        ("client.add-key", "web1", "acme"),
        ("client.remove-key", "web1", "acme"),
        ("group.create", "web", "acme"),
        ("group.add", "web", "acme"),
        ("group.remove", "web", "acme"),
        ("group.delete", "web", "acme"),
        ("org.remove-user", "alice", "acme"),
        ("client.delete", "web1", "acme"),
        ("user.delete", "alice", None),
        ("org.delete", "acme", "acme"),
    ]
    assert {row["result"] for row in after} == {"done"}
    assert after[4]["details"] == {"kind": "client", "member": "web1"}
    assert "PRIVATE" not in json.dumps(after) and "PUBLIC" not in json.dumps(after)


def test_a_change_that_fails_leaves_no_row(run: Commands) -> None:
    before = trail(run)
    run.bad("org", "create", "acme")
    run.bad("group", "delete", "nothing")
    assert trail(run) == before


def test_the_export_is_limited_by_time_and_organization(run: Commands, store: Store) -> None:
    moments = {"a": 1715644800.0, "b": 1715731200.0, "c": time.time() - 1800}
    store.write(
        [
            Audited(audit.made(at, "0" * 32, "x", target=name, org="acme" if name < "c" else None))
            for name, at in moments.items()
        ]
    )

    def targets(*words: str) -> List[str]:
        return [row["target"] for row in trail(run, *words) if row["action"] == "x"]

    assert targets() == ["a", "b", "c"]
    assert targets("--since", "2024-05-14", "--until", "2024-05-15T00:00:00Z") == ["a"]
    assert targets("--since", "2024-05-15T02:00:00+02:00") == ["b", "c"]
    assert targets("--since", "1h") == ["c"]
    assert targets("--until", "1h", "--format", "jsonl") == ["a", "b"]
    assert targets("--org", "acme") == ["a", "b"]
    for words in (["--since", "then"], ["--until", "24:00"], ["--format", "json"]):
        assert run("audit", "export", *words).code == 2


def test_the_export_of_an_organization_that_never_was_is_an_error(
    run: Commands, store: Store
) -> None:
    assert "there is no organization nope; there are: acme" in run.bad(
        "audit", "export", "--org", "nope", "--since", "1h"
    )
    store.write([created(1, org="old", status=JobStatus.COMPLETE)])
    run.good("org", "create", "old")
    assert "--force" in run.bad("org", "delete", "old")
    run.good("org", "delete", "old", "--force")
    assert [row["action"] for row in trail(run, "--org", "old")] == ["org.create", "org.delete"]
    assert trail(run, "--org", "old", "--until", "1d") == []


def test_organizations_of_a_chef_server_are_not_known_here(run: Commands) -> None:
    chef = "identity: chef\nchef: {url: 'https://chef.example.com', user: push}\n"
    (run.data_dir / "settings.yml").write_text(chef)
    assert trail(run, "--org", "nope") == []


def test_sudo_does_not_hide_who_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "carol")
    assert operator_name() == "carol"
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000_000)
    assert operator_name() == "4000000000"


@pytest.mark.parametrize(
    "seconds, text",
    [(86400.0, "1 d"), (1800.0, "30 m"), (5400.0, "90 m"), (7200.0, "2 h"), (2.5, "2.5 s")],
)
def test_ages(seconds: float, text: str) -> None:
    assert show_age(seconds) == text
