"""The shutdown dates known to this process, and the errors and warnings based on them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import openai

from finetune_guard.domain.bounded import Bounded
from finetune_guard.domain.catalog import Row, published_catalog, rows_of
from finetune_guard.domain.errors import (
    BaseModelShutDownError,
    FineTunedModelShutDownError,
    ModelLifetimeError,
    ModelSunsetWarning,
    ShortLivedModelError,
    ShortLivedModelWarning,
)
from finetune_guard.domain.shutdowns import Announced, ShutdownDates
from finetune_guard.logs import OnceLog
from finetune_guard.openai_api.errors import error_code
from finetune_guard.rules import model_messages
from finetune_guard.rules.inventory import Prospect, prospect_of
from finetune_guard.stores.base import Store

if TYPE_CHECKING:
    from finetune_guard.config import GuardConfig

logger = logging.getLogger("finetune_guard")

SUNSET = timedelta(days=30)
"""How long before its end a call of a model warns."""

_READ_AGAIN_AFTER = timedelta(hours=1)
_MOST_WARNED = 10_000
_MOST_ANNOUNCED = 100_000
"""The most models with an announced end, so that a server that makes up names can't fill the memory."""
_NOT_FOUND = "model_not_found"

_FILE = "litellm/model_prices_and_context_window_backup.json"
_MOST_BYTES = 50_000_000  # ten times its present size
_NOTHING: Mapping[str, Row] = {}


class ModelEnds:
    """When models end, by the published table, the store, and the API's announcements in this process."""

    def __init__(self, config: GuardConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._dates: ShutdownDates | None = None
        self._read_at: datetime | None = None
        self._once = OnceLog()
        self._is_reading = False
        self._warned: Bounded[str, bool] = Bounded(_MOST_WARNED)
        self.checked_on: Bounded[str, date] = Bounded(_MOST_WARNED)

    @property
    def dates(self) -> ShutdownDates:
        """The dates known so far; no I/O."""
        if self._dates is None:
            self._dates = ShutdownDates(published_catalog(), configured=self._config.model_dates)
        return self._dates

    def learn(self, announced: Mapping[str, Announced]) -> None:
        """Add the API's announcements in this process; no I/O."""
        known = self.dates.announced
        new = {model: end for model, end in announced.items() if known.get(model) != end}
        if len(known) + len(new) > _MOST_ANNOUNCED:
            new = {model: end for model, end in new.items() if model in known}
        if new:
            self._dates = self.dates.with_announced(new)
        if any(end.day != (known[model].day if model in known else None) for model, end in new.items()):
            self.checked_on.clear()

    def store_announced(self, announced: Mapping[str, Announced]) -> None:
        """Write the API's announcements to the store; raises ``StoreError`` if that fails."""
        self.learn(announced)
        known = self._store.announced()
        new = {model: end for model, end in announced.items() if end.day is not None or model in known}
        if new:
            self._store.announce(new)

    def read(self, now: datetime) -> ShutdownDates:
        """Return the dates, with those of the store and an installed litellm, read at most once an hour."""
        if self._read_at is None or abs(now - self._read_at) > _READ_AGAIN_AFTER:
            self._read_at = now
            litellm = installed_table()
            if litellm != self.dates.litellm:
                self._dates = replace(self.dates, litellm=litellm)
                self.checked_on.clear()
            try:
                self.learn(self._store.announced())
            except Exception as error:  # noqa: BLE001 -- a user's own store can fail in any way
                message = "finetune-guard can't read the shutdown dates at %s and uses its own table: %s"
                self._once.log(logging.WARNING, message, self._store.location, error)
        return self.dates

    def prospect(self, model: str, now: datetime) -> Prospect:
        """Return how long a fine-tune made from ``model`` now would live."""
        return prospect_of(model, self.read(now), now)

    def lifetime_error(self, model: str, now: datetime) -> ModelLifetimeError | None:
        """Return the error for a job that can't or must not start from ``model``; None if it may."""
        prospect, dates = self.prospect(model, now), self.read(now)
        if prospect.is_shut_down(now.date()):
            words = model_messages.base_shut_down(prospect, dates, now.date())
            return BaseModelShutDownError(
                words.message, model=model, shutdown=prospect.base_shutdown, remedy=words.remedy
            )
        least, end = self._config.min_model_lifetime, prospect.fine_tunes_shutdown
        if least is None or end is None or prospect.lives_for(least) is not False:
            return None
        words = model_messages.too_short_lived(prospect, least)
        return ShortLivedModelError(words.message, model=model, shutdown=end, remedy=words.remedy)

    def lifetime_warning(self, model: str, now: datetime) -> ShortLivedModelWarning | None:
        """Return the warning for a job whose fine-tune would end soon; once for each model."""
        prospect, below = self.prospect(model, now), self._config.warn_below_lifetime
        if below is None or prospect.lifetime is None or prospect.lifetime >= below or model in self._warned:
            return None
        self._warned[model] = True
        return ShortLivedModelWarning(model_messages.short_lived(prospect))

    def sunset_warning(
        self, model: str, now: datetime, served: str | None = None
    ) -> ModelSunsetWarning | None:
        """Return the warning that is due when a model has answered: once a day for each that ends soon.

        If no source knows the requested name, ``served``, the name in the answer, is used. No I/O: a thread
        reads the table of an installed litellm.
        """
        today = now.date()
        if self.checked_on.get(model) == today:
            return None
        if self._config.warn_models == "all" and self._read_at is None and not self._is_reading:
            self._is_reading = True
            Thread(target=self.read, args=(now,), name="finetune-guard-dates", daemon=True).start()
        self.checked_on[model] = today
        dates = self.dates
        shutdown = dates.shutdown_of(model) or (dates.shutdown_of(served) if served is not None else None)
        if shutdown is None or shutdown.days_left(today) > SUNSET.days:
            return None
        days_left, successor = shutdown.days_left(today), dates.successor_of(shutdown.model)
        return ModelSunsetWarning(model_messages.model_sunset(shutdown, days_left, *successor))

    def shutdown_error(
        self, error: openai.NotFoundError, model: str, now: datetime
    ) -> FineTunedModelShutDownError | None:
        """Return the error for a 404 of a model whose shutdown day has come; None for any other 404."""
        shutdown = self.dates.shutdown_of(model)
        if error_code(error) != _NOT_FOUND or shutdown is None or not shutdown.may_be_over(now.date()):
            return None
        words = model_messages.fine_tune_shut_down(shutdown, *self.dates.successor_of(model))
        return FineTunedModelShutDownError(
            words.message,
            response=error.response,
            body=error.body,
            model=model,
            shutdown=shutdown,
            remedy=words.remedy,
        )


def installed_table() -> Mapping[str, Row]:
    """Return the dated models of the installed litellm; empty if there is none.

    The first call takes about 0.1 s if litellm is installed, later ones much less.
    """
    try:
        path = Path(str(distribution("litellm").locate_file(_FILE)))
        status = path.stat()
        return _read(path, status.st_size, status.st_mtime_ns) if status.st_size <= _MOST_BYTES else _NOTHING
    except PackageNotFoundError:
        return _NOTHING
    except Exception as error:  # noqa: BLE001 -- another package's files can be broken in any way
        logger.debug("finetune-guard can't read litellm's table of models: %s", error)
        return _NOTHING


@lru_cache(maxsize=1)
def _read(path: Path, size: int, changed_at: int) -> Mapping[str, Row]:  # noqa: ARG001 -- cache keys: read again after a change
    return rows_of(json.loads(path.read_bytes()))
