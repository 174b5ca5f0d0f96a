"""One question to a Chef-compatible server: its requests together have one time limit."""

from __future__ import annotations

import time
from typing import Callable, Collection, NoReturn, Optional, TypeVar

from push_jobs_server.identity import chef_answers
from push_jobs_server.identity.base import IdentityUnavailable
from push_jobs_server.identity.chef_answers import Nonsense
from push_jobs_server.identity.chef_http import Answer, ChefHttp
from push_jobs_server.identity.chef_places import Place

Found = TypeVar("Found")


class Question:
    """Asks below the base URL of one organization.

    Args:
        timeout: seconds for everything that is asked.
    """

    def __init__(self, http: ChefHttp, place: Place, timeout: float) -> None:
        self._http = http
        self._place = place
        self._until = time.monotonic() + timeout

    def ask(
        self,
        *pieces: str,
        right: str,
        read: Callable[[bytes], Found],
        lacking: Collection[int] = (),
    ) -> Optional[Found]:
        """What ``read`` makes of the answer; None when a Chef server says that there is no such.

        Args:
            pieces: of the path below the organization, not percent-encoded.
            right: what our key has to be allowed, to be told when it is not.
            lacking: statuses that also mean that there is none for us.

        Raises IdentityUnavailable for every other answer, and for none.
        """
        url = self._place.at(*pieces)
        try:
            answer = self._http.get(url, self._until)
            if answer.status in lacking:
                return None
            if answer.status == 404:
                chef_answers.check_missing(answer.body)
                return None
            if answer.status != 200:
                self._refuse(answer, right)
            return read(answer.body)
        except (IdentityUnavailable, Nonsense) as error:
            raise IdentityUnavailable(f"GET {url}: {error}") from None

    def _refuse(self, answer: Answer, right: str) -> NoReturn:
        if answer.status == 401:
            raise Nonsense(
                "it does not accept our signature (status 401): check the settings chef.user, "
                "chef.key and chef.sign_version, and both clocks"
            )
        if answer.status == 403:
            raise Nonsense(
                f"it refuses us (status 403): give the user of chef.user the right to {right}"
            )
        if 300 <= answer.status < 400:
            raise Nonsense(
                f"it sends us elsewhere (status {answer.status}), where we do not go: set the "
                "address itself in chef.url or chef.organizations"
            )
        raise Nonsense(f"it answered with status {answer.status}")
