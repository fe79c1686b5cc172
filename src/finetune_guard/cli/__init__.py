"""The command line. It only formats output; every decision is made by the floors below."""

from __future__ import annotations


def main() -> None:
    """Run ``finetune-guard`` with the arguments of the process."""
    from finetune_guard.cli.app import app  # noqa: PLC0415 -- the package is imported for its parts, too

    app(prog_name="finetune-guard")


__all__ = ["main"]
