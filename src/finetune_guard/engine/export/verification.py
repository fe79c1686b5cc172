"""Checking an export against its manifest: nothing is asked of the API."""

from __future__ import annotations

import os

from finetune_guard.engine.export.folder import Folder
from finetune_guard.engine.export.record import read_manifest
from finetune_guard.rules.export import MANIFEST, Verification


def verify(path: str | os.PathLike[str]) -> Verification:
    """Compare every file of the export at ``path`` with its recorded SHA-256 and size.

    Raises:
        ExportError: There is no export, or its manifest can't be read.
    """
    folder = Folder(path, make=False)
    manifest, own_sum = read_manifest(folder)
    problems: dict[str, str] = {}
    for name, entry in sorted(manifest.files.items()):
        try:
            if folder.sum_of(name) != (entry.sha256, entry.size):
                problems[name] = "its content is not what was exported"
        except FileNotFoundError:
            problems[name] = "it is missing"
        except OSError as error:
            problems[name] = f"it can't be read, or is a link: {error.strerror}"
    return Verification(
        checked=len(manifest.files),
        problems=problems,
        unlisted=tuple(sorted(set(folder.names()) - {MANIFEST, *manifest.files})),
        complete=manifest.complete,
        manifest_sha256=own_sum,
    )
