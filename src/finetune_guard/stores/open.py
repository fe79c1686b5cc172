"""Opens the store at a location: a folder, memory, or a server's URL."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable
from typing import TypeVar

from finetune_guard.domain.errors import StoreError
from finetune_guard.domain.text import without_secrets
from finetune_guard.stores.base import Store
from finetune_guard.stores.memory import MemoryStore
from finetune_guard.stores.redis.url import SCHEMES
from finetune_guard.stores.rows import Rows

_ALLOWED = (
    '"disk" (a folder in your state folder), "memory" (nothing is kept after the process ends), '
    "a folder such as ./guard, ~/guard or /var/lib/guard, or the URL of a server such as redis://host:6379/0"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # one letter is a Windows drive
_T = TypeVar("_T")
_log = logging.getLogger("finetune_guard.stores")


def open_store(location: str | os.PathLike[str] | Store) -> Store:
    """Return the store at ``location``; nothing is read or written before its first use.

    Args:
        location: ``"disk"``, ``"memory"``, a folder (whatever has a path separator or begins with ``.`` or
            ``~``), the URL of a Redis or Valkey server, or a store, which is returned as it is. If the
            location is below the user's state or home folder and the system does not know it, the store
            is in memory: one for the whole process.

    Raises:
        StoreError: ``location`` is not a store, or a package it needs is not installed.
    """
    if isinstance(location, Store):
        return location
    text = os.fspath(location)
    if location == "memory":
        return MemoryStore()
    if isinstance(location, str) and _scheme(text) in SCHEMES and "://" in text:
        from finetune_guard.stores.redis.store import RedisStore  # noqa: PLC0415 (only what is used is imported)

        return RedisStore(text)
    folder = _state_folder() if location == "disk" else _folder(text, is_path=not isinstance(location, str))
    if folder is None:
        return _homeless_store()
    try:
        from finetune_guard.stores.disk.store import DiskStore  # noqa: PLC0415 (only what is used is imported)
    except ImportError as exc:
        raise StoreError(
            f"A store on disk can't be opened: {exc}.",
            remedy="Use a Python that was built with SQLite, or set FINETUNE_GUARD_STORE to memory.",
        ) from exc
    return DiskStore(folder)


def _state_folder() -> str | None:
    try:
        import platformdirs  # noqa: PLC0415 (only what is used is imported)

        folder = platformdirs.user_state_dir("finetune-guard", appauthor=False)
    except Exception:  # noqa: BLE001 (an old release, or a system that it does not know)
        return None
    # Without a home folder it begins with ~, and it is as relative as XDG_STATE_HOME may be.
    return folder if os.path.isabs(folder) else None  # noqa: PTH117 (it is text)


def _folder(text: str, *, is_path: bool) -> str | None:
    looks_like_path = is_path or "/" in text or os.sep in text or text.startswith((".", "~"))
    scheme = _scheme(text)
    is_url = scheme in SCHEMES if is_path else scheme is not None
    # Unlike Path.expanduser, it leaves an unknown user be; what can't be printed is no folder, see below.
    folder = os.path.expanduser(text) if looks_like_path and text.isprintable() else text  # noqa: PTH111
    is_homeless = folder.startswith("~") and folder[1:2] in {"", "/", os.sep}
    if not looks_like_path or is_url or not text.isprintable() or (folder[:1] == "~" and not is_homeless):
        quoted = without_secrets(text)
        quoted = quoted if len(quoted) <= 80 else quoted[:80] + "..."  # noqa: PLR2004 (a line's worth)
        raise StoreError(
            f"{quoted!r} is not a store.",
            remedy=f"Set FINETUNE_GUARD_STORE, or the field store, to {_ALLOWED}.",
        )
    return None if is_homeless else folder


class _HomelessStore(MemoryStore):
    location = "memory (no state folder is known)"
    _is_silent = True

    def _read(self, doing: str, work: Callable[[Rows], _T]) -> _T:
        if self._is_silent:  # opening it is no use yet
            self._is_silent = False
            _log.warning(
                "The history is kept in memory, and ends with this process: the system does not say where "
                "this user's state or home folder is. Set FINETUNE_GUARD_STORE to a folder such as "
                "/var/lib/finetune-guard, or to memory to silence this."
            )
        return super()._read(doing, work)


_homeless_store = functools.cache(_HomelessStore)


def _scheme(text: str) -> str | None:
    match = _SCHEME.match(text)
    return match[1].lower() if match else None
