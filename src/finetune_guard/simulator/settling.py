"""What happens by itself: jobs and batches end when their time has come.

Nothing runs in the background. Whoever looks at an organization settles it first, and then what was
due has happened in its order and at its own time, however late anybody looks.
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
    """Let everything happen that is due by ``now``, the earliest first. The provider's lock is held."""
    for at, happen in sorted(_waiting(provider, account), key=itemgetter(0)):
        if at <= now:
            happen(at)


def _waiting(provider: Provider, account: Account) -> Iterator[tuple[datetime, Callable[[datetime], None]]]:
    for job in account.jobs.values():
        if job.cancelled_at is None and job.finished_at is None:
            yield job.created_at + provider.settings.job_duration, partial(jobs.finish, account, job)
    for batch in account.batches.values():
        if batch.cancelling_at is None and batch.completed_at is None and not batch.problems:
            yield batch.created_at + batch.duration, partial(batches.finish, provider, account, batch)
