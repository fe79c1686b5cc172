"""What happens by itself: jobs and batches end when their time has come.

Nothing runs in the background. Whoever looks at an organization settles it first, and then what was
due has happened in its order and at its own time, however late anybody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from operator import itemgetter

from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.simulator import batch_run
from finetune_guard.simulator.files import add_result
from finetune_guard.simulator.organizations import Account, Job
from finetune_guard.simulator.provider import Provider


def settle(provider: Provider, account: Account, now: datetime) -> None:
    """Let everything happen that is due by ``now``, the earliest first. The provider's lock is held."""
    waiting = (*_jobs(provider, account), *_batches(provider, account))
    for at, happen in sorted(waiting, key=itemgetter(0)):
        if at <= now:
            happen(at)


def _jobs(provider: Provider, account: Account) -> Iterator[tuple[datetime, Callable[[datetime], None]]]:
    for job in account.jobs.values():
        if job.cancelled_at is None and job.finished_at is None:
            yield job.created_at + provider.settings.job_duration, partial(_succeed, account, job)


def _batches(provider: Provider, account: Account) -> Iterator[tuple[datetime, Callable[[datetime], None]]]:
    for batch in account.batches.values():
        if batch.cancelling_at is None and batch.completed_at is None and not batch.problems:
            yield batch.ends_at, partial(batch_run.complete, provider, account, batch)


def _succeed(account: Account, job: Job, at: datetime) -> None:
    """Bring a job's models into being."""
    parent = FineTunedModel.parse(job.base)
    model = account.add_model(parent.base if parent else job.base, job.suffix or "", at)
    job.checkpoint = account.own(f"{model.id}:ckpt-step-10", at).id
    job.fine_tuned_model, job.finished_at = model.id, at
    results = b"step,train_loss,train_accuracy\n10,0.1,0.9\n"
    job.result_file = add_result(account, "step_metrics.csv", results, at).id
