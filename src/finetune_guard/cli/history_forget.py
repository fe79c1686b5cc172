"""``finetune-guard history forget``: take back what is remembered of one organization."""

from __future__ import annotations

from typing import Annotated

import typer

from finetune_guard.cli.connection import connect
from finetune_guard.cli.failures import SetupError
from finetune_guard.cli.output import say
from finetune_guard.domain.hosts import histories_of, is_resource, resource_of
from finetune_guard.recording.aliases import resolved


def forget(
    organization: Annotated[
        str,
        typer.Argument(
            help="The organization's name, as finetune-guard history --all lists it; or a resource's, as "
            "finetune-guard deployments does."
        ),
    ],
    *,
    usage: Annotated[
        bool, typer.Option("--usage", help="Forget only what a sync has read from the organization's usage.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
) -> None:
    """Remove the history of an organization, or only what was read from its usage.

    This takes apart what was merged wrongly, such as the usage of another organization. With --usage, what
    clients have seen themselves is kept. Nothing is asked of the API, and no key is needed. What is true is
    learnt again: by the next sync, and by the next answers that clients see.

    Exit codes: 0 it was removed; 2 the store knows no such organization; 1 it was not removed.
    """
    connection = connect(needs_key=False)
    store = connection.config.open_store()
    known = store.organizations()
    named = (resolved(store, organization), *histories_of(organization))
    name = next((each for each in named if each in known), None)
    if name is None:
        listed = ", ".join(resource_of(each) if is_resource(each) else each for each in known) or "none"
        raise SetupError(f"No history of {organization!r} is in {store.location}. Known there: {listed}.")
    what = (
        f"what was read from the usage of {name}"
        if usage
        else f"the whole history of {organization if is_resource(name) else name}"
    )
    if not yes:
        typer.confirm(f"Remove {what} from {store.location}?", abort=True)
    store.forget(name, usage_only=usage)
    say(f"Removed {what} from {store.location}.")
