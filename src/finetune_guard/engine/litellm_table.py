"""The table of models of an installed litellm, read without importing litellm, which takes seconds."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from finetune_guard.domain.catalog import Row, rows_of

logger = logging.getLogger("finetune_guard")

_FILE = "litellm/model_prices_and_context_window_backup.json"
_MOST_BYTES = 50_000_000  # ten times what it has
_NOTHING: Mapping[str, Row] = {}


def installed_table() -> Mapping[str, Row]:
    """Return the dated models of the litellm in this environment; empty where there is none.

    The first call takes about 0.1 s where litellm is installed, later ones much less.
    """
    try:
        path = Path(str(distribution("litellm").locate_file(_FILE)))
        found = path.stat()
        return _read(path, found.st_size, found.st_mtime_ns) if found.st_size <= _MOST_BYTES else _NOTHING
    except PackageNotFoundError:
        return _NOTHING
    except Exception as error:  # noqa: BLE001 -- another package's files can be damaged in any way
        logger.debug("finetune-guard can't read litellm's table of models: %s", error)
        return _NOTHING


@lru_cache(maxsize=1)
def _read(path: Path, size: int, changed_at: int) -> Mapping[str, Row]:  # noqa: ARG001 -- read anew after a change
    return rows_of(json.loads(path.read_bytes()))
