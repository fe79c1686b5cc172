"""Output to terminals, pipes and files, including encodings and failed writes."""

from __future__ import annotations

import codecs
import io
import os
import pkgutil
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from finetune_guard.cli.exits import SetupError
from finetune_guard.domain.text import HIDDEN, lines, without_secrets

_IN_ASCII = str.maketrans("“”…—·─━┼●○▼■▶▁▂▃▄▅▆▇█✓→", '""~-.-=+oxV#>.:-=+*%@+>') | {ord("±"): "+/-"}
_HANDLER = "finetune_guard.cli"
_SECRETS = ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "FINETUNE_GUARD_ADMIN_API_KEY", "FINETUNE_GUARD_WEBHOOK")


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end].translate(_IN_ASCII)
    return "".join(char if char.isascii() else "?" for char in unknown), error.end


codecs.register_error(_HANDLER, _replaced)


def make_printable() -> None:
    """Replace characters that stdout and stderr can't encode by the nearest ASCII ones."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def say(text: str, *, err: bool = False) -> None:
    """Print text for people, wrapped at words in a terminal."""
    if is_terminal(sys.stderr if err else sys.stdout):
        width = shutil.get_terminal_size().columns
        text = "\n".join(_wrapped(line, width) for line in text.split("\n"))
    typer.echo(text, err=err)


def _wrapped(line: str, width: int) -> str:
    margin = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line, width, subsequent_indent=margin, break_on_hyphens=False, break_long_words=False
    )


def note(*texts: str | None) -> None:
    """Print notes on stderr, skipping those that are None or empty."""
    for text in filter(None, texts):
        say(f"Note: {text}", err=True)


def tell(text: str) -> None:
    """Print on stderr, without any API keys, passwords or control characters."""
    for name in _SECRETS:
        secret = os.environ.get(name, "").strip()
        text = text.replace(secret, HIDDEN) if secret else text
    say(lines(without_secrets(text)), err=True)


@contextmanager
def progress_bar(title: str, *, shown: bool) -> Iterator[Callable[[int, int, str], object]]:
    """Draw a progress bar on stderr, if that is a terminal; it is removed at the end.

    What is yielded is called with how much is done, how much there is, and both in words.
    """
    if not (shown and is_terminal(sys.stderr)):
        yield lambda _done, _all, _told: None
        return
    from rich.console import Console  # noqa: PLC0415 -- only people need rich
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 -- as above

    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, told="")
        yield lambda done, whole, told: bar.update(task, completed=done, total=whole, told=told)


def is_terminal(stream: Any) -> bool:
    """Whether ``stream`` is a terminal; a stream that was closed before the start is None."""
    return stream is not None and stream.isatty()


def unwritten(error: OSError) -> str:
    """Return the message for a failed write to stdout."""
    return f"The output can't be written: {error.strerror or error}."


def flush_output() -> OSError | None:
    """Flush stdout; return why that failed, if it did. Nothing more is written after a failure."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        discard_output()
        return error
    return None


def discard_output() -> None:
    """Discard all further output to stdout, including at interpreter exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # it is no file, as in a test
        return


def template(name: str) -> str:
    """Return the text of a template of this package."""
    return (pkgutil.get_data("finetune_guard.cli", f"templates/{name}") or b"").decode()


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically: a concurrent reader sees the old one or the new one.

    A link is followed. A device or a pipe, such as ``/dev/stdout``, is written to and never replaced.

    Raises:
        SetupError: It can't be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        target = Path(os.path.realpath(path))
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"{path} can't be written: {error.strerror or error}.") from error
