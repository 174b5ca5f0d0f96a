"""The sets of Ruby programs for tests, which do without those that are not installed."""

from __future__ import annotations

from peer import Missing
from ruby_sets import NotInstalled, RubySet, ruby_set


def gem_set(name: str) -> RubySet:
    """The set of this name. Raises Missing when it is not installed here."""
    try:
        return ruby_set(name)
    except NotInstalled as reason:
        raise Missing(str(reason)) from None
