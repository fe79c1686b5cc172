"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from finetune_guard.cli.failures import SetupError


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all: who reads it meanwhile finds the one before.

    Raises:
        SetupError: It can't be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"{path} can't be written: {error.strerror or error}.") from error
