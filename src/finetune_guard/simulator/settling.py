"""Finishes jobs and batches that are due.

Nothing runs in the background. Before an organization's data is used, ``settle`` applies all changes that
are due, in order and with the time at which each was due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from operator import itemgetter

from finetune_guard.simulator import batches, jobs
from finetune_guard.simulator.organizations import Account
from finetune_guard.simulator.provider import Provider


def settle(provider: Provider, account: Account, now: datetime) -> None:
    """Apply all changes that are due by ``now``, earliest first. Requires the provider's lock."""
    for at, apply in sorted(_changes(provider, account), key=itemgetter(0)):
        if at <= now:
            apply(at)


def _changes(provider: Provider, account: Account) -> Iterator[tuple[datetime, Callable[[datetime], None]]]:
    for job in account.jobs.values():
        if job.cancelled_at is None and job.finished_at is None:
            yield job.created_at + provider.settings.job_duration, partial(jobs.finish, account, job)
    for batch in account.batches.values():
        if batch.cancelling_at is None and batch.completed_at is None and not batch.problems:
            yield batch.created_at + batch.duration, partial(batches.finish, provider, account, batch)
