"""The rows of the table, how they travel from the process of a fault, and how they are drawn."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

HEADINGS = (
    "Fault",
    "Inferences",
    "Lost",
    "Changed",
    "p99: bare → guarded (noise)",
    "All calls: bare → guarded (noise)",
    "What the guard logged meanwhile",
    "The history afterwards",
    "Kept",
)


@dataclass(frozen=True)
class Row:
    """What one fault did.

    Attributes:
        fault: What went wrong, and how that was brought about.
        inferences: How many calls of fine-tuned models guarded clients made.
        lost: How many of them ended in an exception that a bare client's would not have.
        changed: How many gave back something else than the server had sent.
        p99: The 99th percentile of one call's time: the bare client's, ours, and the noise.
        total: The same of the time of all calls.
        slower: Whether one of them differs by more than the noise; None where no times were taken.
        history: What became of the history.
        caught_up: Whether it is what it should be.
        logged: What the guard said about it in the log.
        problem: The first thing that went wrong, if any.
    """

    fault: str
    inferences: int
    lost: int
    changed: int
    history: str
    caught_up: bool
    p99: str = ""
    total: str = ""
    slower: bool | None = None
    logged: str = ""
    problem: str = ""

    @property
    def kept(self) -> bool:
        """Whether all that is promised was kept."""
        return not (self.lost or self.changed or self.slower) and self.caught_up

    def cells(self) -> tuple[str, ...]:
        """Return what stands in the columns."""
        why = [
            word
            for word, wrong in (
                ("lost", self.lost),
                ("changed", self.changed),
                ("slower", self.slower),
                ("history", not self.caught_up),
            )
            if wrong
        ]
        kept = "yes" if self.kept else f"**no: {', '.join(why)}** {self.problem}".strip()
        if self.kept and not self.inferences:
            kept = "not tried"
        numbers = (f"{self.inferences:,}", str(self.lost), str(self.changed))
        return self.fault, *numbers, self.p99, self.total, self.logged, self.history, kept

    def told(self) -> str:
        """Return the row as one line that ``heard`` reads."""
        return json.dumps(asdict(self))


def heard(line: str) -> Row:
    """Return the row that the process of a fault has told."""
    return Row(**json.loads(line))


def markdown(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(row.cells() for row in rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
        for line in lines
    )
