"""The group of all commands: it adds to errors of commands what only the whole line can tell."""

from __future__ import annotations

from typing import Any

import click

from push_jobs.errors import NotPermitted
from push_jobs.options import signer


class RootGroup(click.Group):
    """Says where the options for all commands stand, and how a refused request was signed."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if any(error.option_name in option.opts for option in self.params):
                error.message += _misplaced(error.option_name)
                error.possibilities = None
            raise
        except NotPermitted as error:
            signed = signer(ctx)
            if error.status != 401 or signed is None:
                raise
            raise NotPermitted(401, [*error.messages, signed]) from error


def _misplaced(option: str) -> str:
    return f" here; options for all commands stand before the command: push-jobs {option} ..."
