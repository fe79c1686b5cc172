"""How many examples property-based tests try.

``TEST_EFFORT`` is a share of the usual: a run in a matrix of interpreters can do with less.
"""

from __future__ import annotations

import os

SHARE = float(os.environ.get("TEST_EFFORT", "1"))


def some(usual: int) -> int:
    """Return how many examples to try, where ``usual`` are tried by default."""
    return max(5, round(usual * SHARE))
