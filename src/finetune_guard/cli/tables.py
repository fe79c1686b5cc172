"""Tables of any length, as plain lines that can be cut, paged and searched."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from finetune_guard.domain.text import quoted

_BOLD = Style(bold=True)
_GAP = "  "
_NARROWEST = 20


class Lines:
    """Lines that are printed as they are: ten thousand of them take no time, and none is cut."""

    def __init__(self, lines: Iterable[tuple[str, bool]]) -> None:
        self._lines = list(lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield each line, bold or not."""
        for line, bold in self._lines:
            yield Segment(line, _BOLD if bold else None)
            yield Segment.line()


def entries(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Lines:
    """Return a table or, where it is too wide, each row's name above the rest of it: names stay whole.

    Args:
        headings: What the columns are called, if anything. One with only empty cells is left out.
        rows: The cells; the first of each row is its name.
        width: How many columns the terminal has.
    """
    [lines] = alike(headings, [rows], width)
    return lines


def alike(
    headings: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], width: int, indent: str = ""
) -> list[Lines]:
    """Return the ``entries`` of each group of rows: all as tables or none, and with the same columns."""
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
) -> Iterator[tuple[str, bool]]:
    for row in (headings, *rows):
        cells = (cell + " " * (wide - _width(cell)) for cell, wide in zip(row, widths, strict=True))
        yield (indent + _GAP.join(cells)).rstrip(), row is headings


def _stacked(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, indent: str
) -> Iterator[tuple[str, bool]]:
    margin = indent + _GAP
    for name, *rest in rows:
        yield indent + name, True
        told = zip(headings[1:], rest, strict=True)
        words = ", ".join(f"{heading.lower()} {cell}".strip() for heading, cell in told if cell)
        lines = textwrap.wrap(
            words,
            max(width, _NARROWEST),
            initial_indent=margin,
            subsequent_indent=margin,
            break_on_hyphens=False,
        )
        yield from ((line, False) for line in lines)


def _width(cell: str) -> int:
    return len(cell) if cell.isascii() else cell_len(cell)
