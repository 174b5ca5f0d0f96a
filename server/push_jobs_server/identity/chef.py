"""Identities from Chef-compatible servers, one base URL per organization (pushy-api 3).

Everything is asked for each request. What such a server does not say clearly is an error
(IdentityUnavailable), never an answer: neither a yes nor an unknown name.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Set

from push_jobs_server.identity import chef_answers
from push_jobs_server.identity.base import Group, Principal, Questions
from push_jobs_server.identity.chef_http import ChefHttp
from push_jobs_server.identity.chef_places import Place, Places
from push_jobs_server.identity.chef_question import Question

_LONGEST = 255
_ORGANIZATION = "read the organization (members of its group 'users' have it)"
_PRINCIPAL = "read principals (Chef servers give it to everybody)"
_KEYS = "read public keys (members of the organization's group 'public_key_read_access' have it)"
_NO_KEY_LISTS = (403, 404, 405)


class ChefIdentity:
    """Asks Chef-compatible servers. Safe to use from many threads.

    Args:
        http: asks, signed as the user or client that the operator has set.
        places: where the organizations are.
        timeout: seconds for one question, with all requests that it takes.
        key_lists: read keys from key lists even where the principal answer can have several.
        root_admins: the users who are group ``admins`` of a server without organizations.
    """

    def __init__(
        self,
        http: ChefHttp,
        places: Places,
        timeout: float,
        key_lists: bool = False,
        root_admins: Sequence[str] = (),
    ) -> None:
        self._http = http
        self._places = places
        self._timeout = timeout
        self._key_lists = key_lists
        self._root_admins = frozenset(root_admins)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def for_request(self) -> Questions:
        """Itself: everything is asked when it is needed."""
        return self

    def has_organization(self, org: str) -> bool:
        """True when there is such an organization; one that is a whole server always exists."""
        place = self._places.find(org)
        if place is None or place.root:
            return place is not None
        name = place.url.rpartition("/")[2]
        found = self._question(place).ask(
            right=_ORGANIZATION, read=lambda body: chef_answers.organization(body, name)
        )
        return found is not None

    def principals(self, org: str, name: str) -> List[Principal]:
        """One entry per key of the users and clients of this name (pushy-api 3.1)."""
        place = self._places.find(org)
        if place is None or not _can_be_asked(name):
            return []
        question = self._question(place)
        everybody = place.root
        answer = question.ask(
            "principals",
            name,
            right=_PRINCIPAL,
            read=lambda body: chef_answers.principals(body, name, everybody),
        )
        if answer is None:
            return []
        if place.root or (answer.has_all_keys and not self._key_lists):
            return answer.entries
        return self._with_key_lists(question, name, answer.entries)

    def _with_key_lists(
        self, question: Question, name: str, found: List[Principal]
    ) -> List[Principal]:
        """Members with the keys of their lists; others as found, because no key helps them."""
        entries = [each for each in found if not each.member]
        for kind in chef_answers.KINDS:
            given = [each for each in found if each.member and each.kind == kind]
            keys = self._keys(question, kind, name) if given else None
            if keys is None:
                entries += given
            else:
                entries += [Principal(name, kind, True, key) for key in keys]
        return entries

    def _keys(self, question: Question, kind: str, name: str) -> Optional[List[str]]:
        """The keys of a list; None when there is none for us: the principal's key has to do."""
        here = (f"{kind}s", name, "keys")
        lacking = () if self._key_lists else _NO_KEY_LISTS
        names = question.ask(*here, right=_KEYS, read=chef_answers.key_names, lacking=lacking)
        if names is None:
            return [] if self._key_lists else None
        keys = (
            question.ask(*here, each, right=_KEYS, read=chef_answers.key)
            for each in names
            if _can_be_asked(each)
        )
        return [key for key in keys if key]

    def clients(self, org: str) -> Optional[List[str]]:
        """None: our key there need not have the right to list them."""
        return None

    def is_member(self, org: str, group: str, kind: str, name: str) -> Optional[bool]:
        """Whether a user or client is in a group or one below it; None: no such group (3.2)."""
        place = self._places.find(org)
        if place is None:
            return None
        if place.root:
            return self._is_root_member(group, kind, name)
        question = self._question(place)
        top = _group(question, group)
        return None if top is None else _contains(question, group, top, kind, name)

    def _is_root_member(self, group: str, kind: str, name: str) -> Optional[bool]:
        """Servers without organizations have no groups; the operator has named the admins."""
        if group != "admins":
            return None
        return kind == "user" and name in self._root_admins

    def _question(self, place: Place) -> Question:
        return Question(self._http, place, self._timeout)


def _group(question: Question, name: str) -> Optional[Group]:
    right = (
        f"read the group '{name}' (for 'admins' that has to be given; most other groups can be "
        "read by members of the group 'users')"
    )
    return question.ask(
        "groups", name, right=right, read=lambda body: chef_answers.group(body, name)
    )


def _contains(question: Question, name: str, top: Group, kind: str, member: str) -> bool:
    """Walk from a group to those below, each once; one that does not exist is empty."""
    seen: Set[str] = {name}
    groups = [top]
    while groups:
        here = groups.pop()
        if member in (here.users if kind == "user" else here.clients):
            return True
        below = [each for each in here.groups if each not in seen and _can_be_asked(each)]
        seen.update(below)
        found = (_group(question, each) for each in dict.fromkeys(below))
        groups += [each for each in found if each is not None]
    return False


def _can_be_asked(name: str) -> bool:
    """Whether a name can be a piece of a path; with :: it is of another organization."""
    return name not in ("", ".", "..") and len(name) <= _LONGEST and "::" not in name
