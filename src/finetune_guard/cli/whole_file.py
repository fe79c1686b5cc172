"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from finetune_guard.cli.failures import SetupError


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: who reads it meanwhile finds the one before.

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
