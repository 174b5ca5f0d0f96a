"""The root of every error raised by this distribution, and its two branches.

Whoever catches an error needs to know first who is at fault: a mistake of ours is a defect to be
fixed here, a mistake of the peer is to be counted, logged and survived.
"""

from __future__ import annotations


class PushJobsError(Exception):
    """Raised for anything that push-jobs itself can explain; its text is meant for people."""


class LocalError(PushJobsError):
    """Raised when this side asked for something impossible: wrong key, setting or message."""


class RemoteError(PushJobsError):
    """Raised when what the peer sent cannot be accepted; nothing was changed by it."""
