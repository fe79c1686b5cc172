"""From a location, as people write it, to a store."""

from __future__ import annotations

import os

from finetune_guard.stores.refusal import refusal
from finetune_guard.stores.store import Store

_ALLOWED = (
    '"disk" (a folder in your state folder), "memory" (nothing is kept after the process ends), '
    "or a folder such as ./guard, ~/guard or /var/lib/guard"
)


def open_store(location: str | os.PathLike[str] | Store) -> Store:
    """Return the store at ``location``; nothing is read or written before its first use.

    Args:
        location: ``"disk"``, ``"memory"``, a folder (whatever has a path separator or begins with
            ``.`` or ``~``), or a store, which is returned as it is.

    Raises:
        StoreError: No store can be meant by ``location``; the message names what is allowed.
    """
    if isinstance(location, Store):
        return location
    text = os.fspath(location)
    if location == "memory":
        from finetune_guard.stores.memory import MemoryStore  # noqa: PLC0415 (only what is used is imported)

        return MemoryStore()
    folder = _folder(text, is_keyword=location == "disk", is_path=not isinstance(location, str))
    try:
        from finetune_guard.stores.disk import DiskStore  # noqa: PLC0415 (only what is used is imported)
    except ImportError as exc:
        raise refusal(
            f"A store on disk can't be opened: {exc}.",
            "Use a Python that was built with SQLite, or set FINETUNE_GUARD_STORE to memory.",
        ) from exc
    return DiskStore(folder)


def _folder(text: str, *, is_keyword: bool, is_path: bool) -> str:
    if is_keyword:
        import platformdirs  # noqa: PLC0415 (only what is used is imported)

        return platformdirs.user_state_dir("finetune-guard", appauthor=False)
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() in {"redis", "rediss", "valkey", "valkeys", "unix"}:
        raise refusal(
            f"A store at {scheme}:// can't be opened: this release of finetune-guard keeps histories in "
            f"memory or on disk only.",
            f"Set FINETUNE_GUARD_STORE, or the field store, to {_ALLOWED}.",
        )
    looks_like_path = is_path or "/" in text or os.sep in text or text.startswith((".", "~"))
    folder = os.path.expanduser(text)  # noqa: PTH111 (unlike Path.expanduser, it leaves an unknown user be)
    if separator or "\0" in text or not looks_like_path or folder.startswith("~"):
        shown = text if len(text) <= 80 else text[:80] + "..."  # noqa: PLR2004 (a line's worth)
        raise refusal(
            f"{_without_password(shown)!r} is not a store.",
            f"Set FINETUNE_GUARD_STORE, or the field store, to {_ALLOWED}.",
        )
    return folder


def _without_password(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    return f"{scheme}{separator}***@{rest.rpartition('@')[2]}" if separator and "@" in rest else text
