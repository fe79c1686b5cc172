"""The methods of ``client.guard`` for exports and unused training files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timezone
from functools import partial
from typing import TYPE_CHECKING

from finetune_guard.client.guard_api_base import Facade, Operation
from finetune_guard.domain.errors import GuardConfigError
from finetune_guard.domain.policy import aware_utc
from finetune_guard.domain.validation import format_value
from finetune_guard.openai_api.flow import Flow

if TYPE_CHECKING:
    from finetune_guard.engine.export.exporter import Exporter
    from finetune_guard.rules.export import Export, ExportPlan, ExportProgress, Orphans, OrphansDeleted


class Exports(Facade):
    """The methods of ``client.guard`` that save fine-tuning jobs and find unused files."""

    @Operation
    def export(
        self,
        folder: str | os.PathLike[str],
        *,
        jobs: Collection[str] = (),
        model: str | None = None,
        since: date | None = None,
        files: bool = True,
        progress: Callable[[ExportProgress], object] | None = None,
    ) -> Flow[Export]:
        """Save the jobs that the key can see, with their events, checkpoints and files, in a folder.

        Another run fetches only what is missing or differs. The requests are ``GET /models``,
        ``/fine_tuning/jobs``, ``/files``, and those for what they list.

        Args:
            folder: The target; a missing folder is created for its owner alone.
            jobs: Only the jobs with these ids.
            model: Only jobs that created this fine-tuned model or started from this base model.
            since: Only jobs that were created then or later; a datetime with a time zone, or a day in UTC.
            files: Whether the contents of their files are saved, too.
            progress: Called with the progress, also from other threads, one call at a time.

        Raises:
            ExportError: The list of jobs could not be read, or the folder can't be used or written.
            GuardConfigError: An argument is wrong, or the policy does not apply to this client's host.
        """
        exporter = self._exporter(jobs, model, since, files=files)
        models = partial(self._engine.inventory, self._credentials, refresh=False)
        return (yield from exporter.run(folder, models, progress))

    @Operation
    def plan_export(
        self,
        *,
        jobs: Collection[str] = (),
        model: str | None = None,
        since: date | None = None,
        files: bool = True,
    ) -> Flow[ExportPlan]:
        """Return what ``export`` would save, with file sizes; writes nothing.

        The arguments and errors are those of ``export``.
        """
        return (yield from self._exporter(jobs, model, since, files=files).plan())

    @Operation
    def orphans(self) -> Flow[Orphans]:
        """Return the training files that no job uses; an upload for a refused job leaves one.

        The requests are ``GET /files`` and ``GET /fine_tuning/jobs``.

        Raises:
            GuardConfigError: The policy does not apply to this client's host.
        """
        from finetune_guard.engine.export.orphans import find_orphans  # noqa: PLC0415 -- as in _exporter

        self._must_be_active("orphans")
        return (yield from find_orphans(self._engine.decider.now))

    @Operation
    def delete_orphans(self, files: Collection[str]) -> Flow[OrphansDeleted]:
        """Delete those of ``files`` that no job uses and that are at least a day old.

        Reads the lists again first. Deletes nothing if the list of jobs can't be read completely.

        Raises:
            GuardConfigError: The policy does not apply to this client's host.
        """
        from finetune_guard.engine.export.orphans import delete_orphans  # noqa: PLC0415 -- as in _exporter

        self._must_be_active("delete_orphans")
        if isinstance(files, str):
            raise GuardConfigError(
                f"delete_orphans(...) is {format_value(files)}: a list of files' ids is required"
            )
        return (yield from delete_orphans(files, self._engine.decider.now))

    def _exporter(
        self, jobs: Collection[str], model: str | None, since: date | None, *, files: bool
    ) -> Exporter:
        # The import takes 15 ms, too long for an event loop that only needs a verdict.
        from finetune_guard.engine.export.exporter import Exporter  # noqa: PLC0415
        from finetune_guard.rules.export import Selection  # noqa: PLC0415

        self._must_be_active("export")
        if isinstance(jobs, str):
            raise GuardConfigError(
                f"export(jobs=...) is {format_value(jobs)}: a list of jobs' ids is required"
            )
        selection = Selection(jobs=tuple(jobs), model=model, since=_parse_since(since), files=files)
        return Exporter(selection, api=self._credentials.base, now=self._engine.decider.now)


def _parse_since(since: object) -> datetime | None:
    if since is None:
        return None
    if isinstance(since, date) and not isinstance(since, datetime):
        return datetime.combine(since, time(), timezone.utc)
    try:
        return aware_utc(since)  # type: ignore[arg-type] # any other type raises
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise GuardConfigError(
            f"export(since=...) is {format_value(since)}: a date, or a datetime with a time zone, is required"
        ) from None
