"""From a location, as people write it, to a store."""

from __future__ import annotations

import os

from finetune_guard.domain.redaction import without_secrets
from finetune_guard.stores.base import Store
from finetune_guard.stores.errors import store_error
from finetune_guard.stores.redis.url import SCHEMES

_ALLOWED = (
    '"disk" (a folder in your state folder), "memory" (nothing is kept after the process ends), '
    "a folder such as ./guard, ~/guard or /var/lib/guard, or the URL of a server such as redis://host:6379/0"
)


def open_store(location: str | os.PathLike[str] | Store) -> Store:
    """Return the store at ``location``; nothing is read or written before its first use.

    Args:
        location: ``"disk"``, ``"memory"``, a folder (whatever has a path separator or begins with
            ``.`` or ``~``), the URL of a Redis or Valkey server (``redis://``, ``rediss://``,
            ``valkey://``, ``valkeys://``, ``unix://``), or a store, which is returned as it is.

    Raises:
        StoreError: No store can be meant by ``location``, and the message names what is allowed; or
            what it needs is not installed.
    """
    if isinstance(location, Store):
        return location
    text = os.fspath(location)
    if location == "memory":
        from finetune_guard.stores.memory import MemoryStore  # noqa: PLC0415 (only what is used is imported)

        return MemoryStore()
    if isinstance(location, str) and _scheme(text) in SCHEMES:
        from finetune_guard.stores.redis.store import RedisStore  # noqa: PLC0415 (only what is used is imported)

        return RedisStore(text)
    folder = _folder(text, is_keyword=location == "disk", is_path=not isinstance(location, str))
    try:
        from finetune_guard.stores.disk.store import DiskStore  # noqa: PLC0415 (only what is used is imported)
    except ImportError as exc:
        raise store_error(
            f"A store on disk can't be opened: {exc}.",
            "Use a Python that was built with SQLite, or set FINETUNE_GUARD_STORE to memory.",
        ) from exc
    return DiskStore(folder)


def _folder(text: str, *, is_keyword: bool, is_path: bool) -> str:
    if is_keyword:
        import platformdirs  # noqa: PLC0415 (only what is used is imported)

        return platformdirs.user_state_dir("finetune-guard", appauthor=False)
    looks_like_path = is_path or "/" in text or os.sep in text or text.startswith((".", "~"))
    fits = looks_like_path and text.isprintable() and _scheme(text) is None
    # Unlike Path.expanduser, it leaves an unknown user be.
    folder = os.path.expanduser(text) if fits else text  # noqa: PTH111
    if not fits or folder.startswith("~"):
        shown = without_secrets(text)
        shown = shown if len(shown) <= 80 else shown[:80] + "..."  # noqa: PLR2004 (a line's worth)
        raise store_error(
            f"{shown!r} is not a store.",
            f"Set FINETUNE_GUARD_STORE, or the field store, to {_ALLOWED}.",
        )
    return folder


def _scheme(text: str) -> str | None:
    scheme, separator, _ = text.partition("://")
    return scheme.lower() if separator else None
