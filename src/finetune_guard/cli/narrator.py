"""How the demo is told: numbered steps, what is done, and what came of it."""

from __future__ import annotations

from rich.padding import Padding
from rich.text import Text

from finetune_guard.cli.render import Screen

_INDENT = 4


class Narrator:
    """Prints the steps of a story as they happen."""

    def __init__(self) -> None:
        self._screen = Screen()
        self._step = 0

    def opening(self, title: str, text: str) -> None:
        """Say what is going to be told."""
        self._screen.draw(Text(title, "bold"))
        self._screen.draw(text)

    def step(self, title: str, text: str) -> None:
        """Begin a step and say what it is about."""
        self._step += 1
        self._screen.draw("")
        self._screen.draw(Text.assemble((f"{self._step:>2}  ", "bold cyan"), (title, "bold")))
        self._indented(Text(text, "dim"))

    def did(self, call: str, *results: str) -> None:
        """Show a call and what came of it."""
        self._screen.draw("")
        self._indented(Text.assemble(("> ", "cyan"), (call, "cyan")))
        for result in results:
            self._indented(Text(result), deeper=2)

    def stopped(self, call: str, error: Exception) -> None:
        """Show a call and the error that it raised, as a program sees it."""
        self._screen.draw("")
        self._indented(Text.assemble(("> ", "cyan"), (call, "cyan")))
        self._indented(Text.assemble((type(error).__name__, "bold red"), ":"), deeper=2)
        for line in str(error).splitlines():
            self._indented(Text(line), deeper=2)

    def remark(self, text: str) -> None:
        """Say what has to be said beside a result."""
        self._screen.draw("")
        self._indented(Text(text, "italic"))

    def end(self, text: str) -> None:
        """Close the story."""
        self._screen.draw("")
        self._screen.draw(text)

    def _indented(self, text: Text, *, deeper: int = 0) -> None:
        self._screen.draw(Padding.indent(text, _INDENT + deeper))
