"""Looking at the folder of a stored history, and changing what is in it, as another program would."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def tamper(folder: Path, statement: str, *values: object) -> None:
    """Change the database behind the store's back."""
    with closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
        connection.execute(statement, values)


def aside(folder: Path) -> list[Path]:
    """Return the damaged databases that were set aside."""
    return [path for path in folder.iterdir() if path.name.startswith("cache.db.corrupt-")]
