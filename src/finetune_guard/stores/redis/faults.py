"""The kinds of errors of a Redis or Valkey server, and a remedy for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import redis

from finetune_guard.stores.codec import UnreadableRowError
from finetune_guard.stores.contention import BusyError
from finetune_guard.stores.redis.rows import UnansweredError, lost

# SELECT too, when the URL names a database other than 0.
_COMMANDS = "GETRANGE, SET, PTTL, DEL, WATCH, UNWATCH, MULTI and EXEC"
_MAX_SHOWN = 200
_ELSEWHERE = "set FINETUNE_GUARD_STORE to disk or memory."

# By what servers say, since releases of redis-py differ in the classes that they make of it.
_BY_WORDS = (
    (
        ("wrongpass", "noauth", "authentication required", "invalid username-password", "invalid password"),
        "Check the user name and the password in the URL",
    ),
    (("without any password configured",), "Leave the password out of the URL"),
    (
        ("noperm", "no permissions", "unknown command", "unknown subcommand"),
        f"Let the user in the URL use {_COMMANDS} on the keys of the prefix",
    ),
    (("readonly", "read only replica"), "Use the address of the primary, which can be written to"),
    (("oom", "maxmemory"), "Give the server more memory, or remove other keys from it"),
    (("loading", "masterdown", "tryagain", "clusterdown"), "Try again when the server is ready"),
    (("misconf", "noreplicas"), "Look at the server's log, for it does not accept writes now"),
    (
        ("moved", "ask ", "cross slot", "crossslot"),
        "Use the address of the cluster's node that has the slot of the prefix",
    ),
    (("db index", "select is not allowed", "invalid database"), "Check the database's number in the URL"),
    (("wrongtype", "wrong kind of value"), "Delete that key, or add ?prefix= and another name to the URL"),
    (
        ("certificate", "ssl", "protocol error"),
        "Check whether the server at that port speaks TLS (rediss://) or not (redis://), and its certificate",
    ),
)


def is_contended(fault: BaseException) -> bool:
    """Tell whether it is certain that nothing was written, and trying again may help."""
    return isinstance(fault, BusyError) or (isinstance(fault, redis.WatchError) and lost(fault) is None)


def rooted(fault: Exception) -> Exception:
    """Return the fault itself, where what it ended as says only what follows from it."""
    cause = fault.__cause__
    if isinstance(fault, UnansweredError) and isinstance(cause, Exception):
        return rooted(cause)
    return lost(fault) or fault


def summary(fault: BaseException, secrets: Sequence[str]) -> str:
    """Return why it failed, in one printable line without ``secrets``."""
    if isinstance(fault, redis.WatchError):
        return "others went on changing the same rows"
    if not isinstance(fault, (redis.RedisError, UnreadableRowError, BusyError, OSError)) or _tells(
        fault, secrets
    ):
        return type(fault).__name__
    said = _without_command(str(fault)).rstrip(".")[:_MAX_SHOWN]
    return "".join(letter if letter.isprintable() else "?" for letter in said) or type(fault).__name__


def remedy(fault: BaseException) -> str:
    """Return what to do now."""
    said = f"{type(fault).__name__}: {fault}".lower()
    if is_contended(fault):
        return f"Try again; if it stays so, look who writes so often. Else {_ELSEWHERE}"
    if isinstance(fault, UnreadableRowError):
        return f"Delete the keys of the prefix, or add ?prefix= and another name to the URL; or {_ELSEWHERE}"
    for words, advice in _BY_WORDS:
        if any(word in said for word in words):
            return f"{advice}; or {_ELSEWHERE}"
    if isinstance(fault, (redis.ConnectionError, redis.TimeoutError, OSError)):
        return (
            f"Look whether the server runs and can be reached from here, and check the URL; or {_ELSEWHERE}"
        )
    return f"Look at the error that this one is chained to, or {_ELSEWHERE}"


def speakable(fault: Exception, secrets: Sequence[str]) -> Exception:
    """Return ``fault``, or one like it when the text of it or of what caused it holds a secret.

    A server may repeat the command that it does not know, and redis-py the one that failed: the
    password stands in the first, and what was to be written in the second.
    """
    told = [str(each) for each in _chain(fault)]
    if not any("caused error: " in text or any(secret in text for secret in secrets) for text in told):
        return fault
    words = "its text is not repeated" if _tells(fault, secrets) else _without_command(str(fault))
    try:
        return type(fault)(words)
    except Exception:  # noqa: BLE001 (some take their text apart)
        return redis.RedisError(words)


def _chain(fault: BaseException | None) -> Iterator[BaseException]:
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__


def _tells(fault: BaseException, secrets: Sequence[str]) -> bool:
    return any(secret in str(fault) for secret in secrets)


def _without_command(text: str) -> str:
    return text.rpartition("caused error: ")[2]
