"""The part of the table of settings that says how long jobs and the audit trail are kept."""

from __future__ import annotations

from push_jobs_server.settings_fields import count, seconds

FIELDS = (
    count(
        "history.keep_days",
        90,
        "Jobs that ended longer ago are removed, with their output, variables and files; "
        "0 keeps them for ever.",
        0,
        36500,
        "days",
    ),
    count(
        "history.keep_jobs",
        10_000,
        "Beyond so many jobs of an organization the oldest are removed; 0 keeps any number.",
        0,
        10**9,
        "jobs",
    ),
    seconds(
        "history.late_window",
        86400,
        "A job stays for so long after its end, whatever the two limits say: results of nodes "
        "that were away still reach it.",
        0,
        10**8,
    ),
    seconds("history.interval", 600.0, "Time between two removals.", 0.1, 86400),
    count(
        "audit.keep_days",
        365,
        "Older rows of the audit trail are removed; 0 keeps them for ever.",
        0,
        36500,
        "days",
    ),
    count(
        "audit.keep_refused",
        100_000,
        "Rows of refused requests that are kept; the oldest go first.",
        0,
        10**9,
        "rows",
    ),
)
