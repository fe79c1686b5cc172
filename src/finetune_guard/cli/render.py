"""Output of facts, tables and the timeline: fitted to a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NoReturn

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from finetune_guard.cli.output import is_terminal
from finetune_guard.cli.tables import Lines
from finetune_guard.cli.timeline import Mark, Moment, distance
from finetune_guard.domain.history import Source
from finetune_guard.domain.text import lines
from finetune_guard.domain.verdict import Verdict
from finetune_guard.rules.messages import moment as to_the_minute

UNWRAPPED = 10_000
"""The width of a pipe: lines are not wrapped, so that grep finds them."""

_WIDEST_DRAWING = 100
_NARROW = 60
_BARS = "▁▂▃▄▅▆▇█"
_VERDICT_STYLES = {
    Verdict.ELIGIBLE: "bold green",
    Verdict.INELIGIBLE: "bold red",
    Verdict.UNKNOWN: "bold yellow",
}
_MARKS = {
    Mark.PHASE: ("┼", "cyan"),
    Mark.SHUTDOWN: ("■", "magenta"),
    Mark.LAST_INFERENCE: ("●", "green"),
    Mark.WINDOW_END: ("○", "yellow"),
    Mark.TODAY: ("▼", "bold"),
}
_IN_WORDS = {
    Source.OBSERVED: "seen in a program's call",
    Source.KEEP_ALIVE: "sent as a keep-alive",
    Source.USAGE_API: "read from the Usage API",
    Source.BATCH: "read from a batch",
    Source.IMPORTED: "noted by hand or imported",
}


class Screen(Console):
    """Standard output: the terminal's width and colours, or neither in a pipe."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)
        if not self.is_terminal:
            self.width = UNWRAPPED

    def draw(self, *parts: RenderableType) -> None:
        """Print parts one below the other; in a pipe without the blanks that fill a table's cells."""
        for part in parts:
            if self.is_terminal:
                self.print(part, soft_wrap=isinstance(part, Lines))
                continue
            with self.capture() as drawn:
                self.print(part, soft_wrap=isinstance(part, Lines))
            for line in drawn.get().splitlines():
                self.out(line.rstrip())

    def leaf(self, *parts: RenderableType) -> None:
        """Draw parts, in the system's pager where they are longer than the terminal."""
        if self.is_terminal and is_terminal(sys.stdin) and self._height_of(parts) > self.height:
            with self.pager():
                self.draw(*parts)
        else:
            self.draw(*parts)

    def _height_of(self, parts: Iterable[RenderableType]) -> int:
        return sum(len(part) if isinstance(part, Lines) else len(self.render_lines(part)) for part in parts)

    def on_broken_pipe(self) -> NoReturn:
        """Raise the error that ends a command without a message."""
        raise BrokenPipeError

    @property
    def drawing_width(self) -> int:
        """How many columns a drawing takes."""
        return min(self.width, _WIDEST_DRAWING)


def headline(verdict: Verdict, why: str) -> Text:
    """Return the verdict and its reason."""
    return Text.assemble((verdict.value.upper(), _VERDICT_STYLES[verdict]), f"  {_sentence(why)}.")


def facts(rows: Iterable[tuple[str, str]]) -> Table:
    """Return named facts, one below the other."""
    table = _grid()
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(lines(value)))
    return table


def listing(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table without lines, which stays readable when it is cut, paged or searched."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(lines(cell)) for cell in row))
    return table


def timeline(line: Sequence[Moment], now: datetime, width: int, until: datetime | None) -> tuple[Text, Table]:
    """Return the axis with a mark at each moment, and what the marks mean.

    The time in which jobs can be created is drawn bold: from the last inference until the window closes,
    or ``until`` if that is earlier.
    """
    legend = _grid()
    legend.add_column(no_wrap=True)
    legend.add_column(no_wrap=True)
    legend.add_column(overflow="fold")
    if width >= _NARROW:
        legend.add_column(no_wrap=True, style="dim")
    for moment in line:
        sign, style = _MARKS[moment.mark]
        emphasis = "bold" if moment.mark is Mark.TODAY else ""
        when = moment.day.isoformat() if moment.day is not None else to_the_minute(moment.at)
        cells = (Text(sign, style), Text(when, emphasis), Text(moment.text, emphasis), distance(moment, now))
        legend.add_row(*cells[: len(legend.columns)])
    return _axis(line, width, until), legend


def _axis(line: Sequence[Moment], width: int, until: datetime | None) -> Text:
    first, last = line[0].at, line[-1].at
    span = (last - first) or timedelta(days=1)

    def column(at: datetime) -> int:
        return round((at - first) / span * (width - 1))

    cells = [("─", "dim")] * width
    window = [moment.at for moment in line if moment.mark in (Mark.LAST_INFERENCE, Mark.WINDOW_END)]
    if len(window) > 1:
        end = min(window[1], until or window[1])
        for index in range(column(window[0]), column(end)):
            cells[index] = ("━", "green")
    for mark, cell in _MARKS.items():  # the later ones stand on top where two share a column
        for moment in line:
            if moment.mark is mark:
                cells[column(moment.at)] = cell
    return Text.assemble(*cells)


def sparkline(counts: Sequence[int]) -> Text:
    """Return one bar for each count, the highest for the largest; a dot for none."""
    most = max(counts, default=0) or 1
    return Text("".join(_BARS[(count * len(_BARS) - 1) // most] if count else "·" for count in counts))


def source_in_words(source: Source) -> str:
    """Return how an inference came to be known."""
    return _IN_WORDS[source]


def days_up_to(last: date, number: int) -> list[date]:
    """Return ``number`` days, the last of them ``last``."""
    return [last - timedelta(days=back) for back in reversed(range(number))]


def _grid() -> Table:
    return Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)


def _sentence(clause: str) -> str:
    return clause[:1].upper() + clause[1:]
