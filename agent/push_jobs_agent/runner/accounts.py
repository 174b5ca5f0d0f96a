"""Users of this node that jobs run as. Reads the user database and changes nothing."""

from __future__ import annotations

import os
import pwd

from push_jobs_agent.runner.errors import Refused


class Account:
    """A user with everything that belongs to being that user.

    Attributes:
        name, uid, gid: as in the user database.
        groups: all group ids, the supplementary ones too.
        variables: what its environment says about it.
    """

    def __init__(self, entry: pwd.struct_passwd) -> None:
        self.name = entry.pw_name
        self.uid = entry.pw_uid
        self.gid = entry.pw_gid
        self.groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
        self.variables = {
            "HOME": entry.pw_dir,
            "USER": entry.pw_name,
            "LOGNAME": entry.pw_name,
        }


def find(name: str) -> Account:
    """The account of a user name. Raises Refused for an unknown one."""
    try:
        return Account(pwd.getpwnam(name))
    except KeyError:
        raise Refused(f"the user {name!r} does not exist on this node") from None


def check_possible(account: Account) -> None:
    """Raise Refused when this process may not become that user."""
    if os.geteuid() not in (0, account.uid):
        raise Refused(
            f"the job would run as {account.name!r}, but the runner of this node is no superuser"
            " and cannot change users"
        )
