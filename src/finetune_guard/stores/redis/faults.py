"""Errors of a Redis or Valkey server, and a remedy for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import redis

from finetune_guard.stores.codec import UnreadableRowError
from finetune_guard.stores.contention import BusyError
from finetune_guard.stores.redis.rows import UnansweredError, connection_error

# SELECT too, when the URL names a database other than 0.
_COMMANDS = "GETRANGE, SET, PTTL, DEL, WATCH, UNWATCH, MULTI and EXEC"
_MAX_SHOWN = 200
_ELSEWHERE = "set FINETUNE_GUARD_STORE to disk or memory."

# By the server's message, since releases of redis-py use different classes.
_REMEDIES = (
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
    """Whether nothing was written for certain, and a retry may help."""
    return isinstance(fault, BusyError) or (
        isinstance(fault, redis.WatchError) and connection_error(fault) is None
    )


def root_cause(fault: Exception) -> Exception:
    """Return the original error behind one that only reports its consequence."""
    cause = fault.__cause__
    if isinstance(fault, UnansweredError) and isinstance(cause, Exception):
        return root_cause(cause)
    return connection_error(fault) or fault


def summary(fault: BaseException, secrets: Sequence[str]) -> str:
    """Return the reason in one printable line without ``secrets``."""
    if isinstance(fault, redis.WatchError):
        return "others went on changing the same rows"
    if not isinstance(fault, (redis.RedisError, UnreadableRowError, BusyError, OSError)) or _contains_secret(
        fault, secrets
    ):
        return type(fault).__name__
    text = _without_command(str(fault)).rstrip(".")[:_MAX_SHOWN]
    return "".join(letter if letter.isprintable() else "?" for letter in text) or type(fault).__name__


def remedy(fault: BaseException) -> str:
    """Return an instruction for the user."""
    text = f"{type(fault).__name__}: {fault}".lower()
    if is_contended(fault):
        return f"Try again; if it stays so, look who writes so often. Else {_ELSEWHERE}"
    if isinstance(fault, UnreadableRowError):
        return f"Delete the keys of the prefix, or add ?prefix= and another name to the URL; or {_ELSEWHERE}"
    for words, advice in _REMEDIES:
        if any(word in text for word in words):
            return f"{advice}; or {_ELSEWHERE}"
    if isinstance(fault, (redis.ConnectionError, redis.TimeoutError, OSError)):
        return (
            f"Look whether the server runs and can be reached from here, and check the URL; or {_ELSEWHERE}"
        )
    return f"Look at the error that this one is chained to, or {_ELSEWHERE}"


def redacted(fault: Exception, secrets: Sequence[str]) -> Exception:
    """Return ``fault``, or one like it when the text of it or of what caused it holds a secret.

    A server may repeat the command that it does not know, and redis-py the one that failed: the
    password stands in the first, and what was to be written in the second.
    """
    texts = [str(each) for each in _chain(fault)]
    if not any("caused error: " in text or any(secret in text for secret in secrets) for text in texts):
        return fault
    words = "its text is not repeated" if _contains_secret(fault, secrets) else _without_command(str(fault))
    try:
        return type(fault)(words)
    except Exception:  # noqa: BLE001 (some take their text apart)
        return redis.RedisError(words)


def _chain(fault: BaseException | None) -> Iterator[BaseException]:
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__


def _contains_secret(fault: BaseException, secrets: Sequence[str]) -> bool:
    return any(secret in str(fault) for secret in secrets)


def _without_command(text: str) -> str:
    return text.rpartition("caused error: ")[2]
