"""Facts, tables and the timeline: fitted to a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NoReturn

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from finetune_guard.cli.output import is_terminal
from finetune_guard.cli.timeline import Mark, Moment
from finetune_guard.domain.text import lines, quoted
from finetune_guard.domain.verdict import Verdict

_UNWRAPPED = 10_000
"""The width of a pipe: lines are not wrapped, so that grep finds them."""

_WIDEST_DRAWING = 100
_NARROWEST = 16
_GAP = "  "
_BOLD = Style(bold=True)
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

Line = Sequence[tuple[str, Style | None]]
"""Texts with their styles."""


class Lines:
    """Lines that are printed as they are, without rich's wrapping, which is slow for thousands of them."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = list(lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield each line."""
        for line in self._lines:
            yield from (Segment(text, style) for text, style in line)
            yield Segment.line()


class Screen(Console):
    """Standard output: the terminal's width and colours, or neither in a pipe."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)
        if not self.is_terminal:
            self.width = _UNWRAPPED

    def draw(self, *parts: RenderableType) -> None:
        """Print parts, one below the other."""
        for part in parts:
            self.print(part, soft_wrap=isinstance(part, Lines))

    def leaf(self, *parts: RenderableType) -> None:
        """Print parts, through the system's pager if they are longer than the terminal."""
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


def headline(verdict: Verdict, why: str) -> Text:
    """Return the verdict and its reason."""
    sentence = f"  {why[:1].upper()}{why[1:]}."
    return Text.assemble((verdict.value.upper(), _VERDICT_STYLES[verdict]), sentence)


def facts(rows: Iterable[tuple[str, str | Sequence[Sequence[str]]]]) -> Lines:
    """Return labelled facts, one per line, wrapped at words.

    A fact goes below its label if the label or one of the fact's words is too long.

    Args:
        rows: The names, and what each is: text, or rows of columns of which the last is wrapped.
    """
    width = Screen().width
    told = [
        (
            name,
            _columns(value)
            if not isinstance(value, str)
            else [("", line) for line in lines(value).split("\n")],
        )
        for name, value in rows
    ]
    margin = max((len(name) + len(_GAP) for name, _ in told), default=0)
    return Lines(line for name, value in told for line in _fact(name, value, margin, width))


def _columns(rows: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Return each row as its padded leading columns and its last column."""
    cells = [list(map(lines, row)) for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)][:-1]
    return [
        ("".join(_padded(*each) + _GAP for each in zip(row, widths, strict=False)), row[-1]) for row in cells
    ]


def _fact(name: str, value: Sequence[tuple[str, str]], margin: int, width: int) -> Iterator[Line]:
    longest = max((_width(before + word) for before, text in value for word in text.split()), default=0)
    if margin > width / 3 or margin + max(longest, _width(value[0][0]) + _NARROWEST) > width:
        yield [(name, _BOLD)]
        name, margin = "", len(_GAP)
    for before, text in value:
        for line in _hung(" " * margin + before, text, width):
            yield [(_padded(name, margin), _BOLD), (line[margin:], None)]
            name = ""


def _hung(before: str, text: str, width: int) -> list[str]:
    """Return ``text`` after ``before``, wrapped at words with a hanging indent."""
    indent = " " * _width(before)
    wrapped = textwrap.wrap(
        text,
        max(width, len(indent) + _NARROWEST),
        initial_indent=before,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return wrapped or [before]


def listing(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Lines:
    """Return a table whose last column is wrapped at words."""
    width = Screen().width
    told = _columns([headings, *rows])
    if max(_width(before) for before, _ in told) + _NARROWEST > width:
        return entries(headings, rows, width)
    return Lines(
        [(line, None if index else _BOLD)]
        for index, (before, text) in enumerate(told)
        for line in _hung(before, text, width)
    )


def entries(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Lines:
    """Return a table or, if it is wider than ``width``, each row with its first cell above the others.

    A column with only empty cells is left out. Cells stay whole.
    """
    [lines] = alike(headings, [rows], width)
    return lines


def alike(
    headings: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], width: int, indent: str = ""
) -> list[Lines]:
    """Return the ``entries`` of each group of rows, all in the same form and column widths."""
    rows = [row for group in groups for row in group]
    full = [index for index in range(len(headings)) if index == 0 or any(row[index] for row in rows)]
    headings = [headings[index] for index in full]
    cells = [[[quoted(row[index]) for index in full] for row in group] for group in groups]
    widths = [
        max(map(_width, (heading, *(row[index] for row in rows))))
        for index, heading in zip(full, headings, strict=True)
    ]
    if len(indent) + sum(widths) + len(_GAP) * (len(widths) - 1) <= width:
        return [Lines(_table(headings, group, widths, indent)) for group in cells]
    return [Lines(_stacked(headings, group, width, indent)) for group in cells]


def _table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], indent: str
) -> Iterator[Line]:
    for row in (headings, *rows):
        cells = map(_padded, row, widths)
        yield [((indent + _GAP.join(cells)).rstrip(), _BOLD if row is headings else None)]


def _stacked(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, indent: str
) -> Iterator[Line]:
    for name, *rest in rows:
        yield [(indent + name, _BOLD)]
        told = zip(headings[1:], rest, strict=True)
        words = ", ".join(f"{heading.lower()} {cell}".strip() for heading, cell in told if cell)
        yield from ([(line, None)] for line in _hung(indent + _GAP, words, width))


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(cell: str) -> int:
    return len(cell) if cell.isascii() else cell_len(cell)


def timeline(line: Sequence[Moment], now: datetime, until: datetime | None) -> tuple[Text, Lines]:
    """Return the axis with a mark at each date, and the legend.

    The time in which jobs can be created is drawn bold: from the last inference until the window closes,
    or ``until`` if that is earlier.
    """
    width = Screen().width
    told = _columns([(each.when, each.distance(now), each.text) for each in line])
    legend = Lines(
        [(_MARKS[each.mark][0] if not index else " ", Style.parse(_MARKS[each.mark][1])), (text[1:], style)]
        for each, (before, last) in zip(line, told, strict=True)
        for style in [_BOLD if each.mark is Mark.TODAY else None]
        for index, text in enumerate(_hung(f" {_GAP}{before}", last, width))
    )
    return _axis(line, min(width, _WIDEST_DRAWING), until), legend


def _axis(line: Sequence[Moment], width: int, until: datetime | None) -> Text:
    first, last = line[0].at, line[-1].at
    span = (last - first) or timedelta(days=1)

    def column(at: datetime) -> int:
        return round((at - first) / span * (width - 1))

    cells = [("─", "dim")] * width
    window = [moment.at for moment in line if moment.mark in (Mark.LAST_INFERENCE, Mark.WINDOW_END)]
    if len(window) > 1:
        for index in range(column(window[0]), column(min(window[1], until or window[1]))):
            cells[index] = ("━", "green")
    for mark, cell in _MARKS.items():  # the later ones stand on top where two share a column
        for moment in line:
            if moment.mark is mark:
                cells[column(moment.at)] = cell
    return Text.assemble(*cells)
