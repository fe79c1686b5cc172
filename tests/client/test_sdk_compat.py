"""Where the package relies on what the SDK doesn't promise."""

from __future__ import annotations

import ast
from pathlib import Path

import finetune_guard

PACKAGE = Path(finetune_guard.__file__).parent


def private_modules_of_openai(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [each.name for each in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name.startswith("openai._"))


def test_the_sdks_private_modules_are_imported_in_one_place():
    """A release that moves a private module breaks one file, which says what it is for."""
    importing = {path.name for path in PACKAGE.rglob("*.py") if list(private_modules_of_openai(path))}
    assert {"sdk_compat.py"} == importing
