from __future__ import annotations

from finetune_guard.domain.bounded import Bounded


def test_it_begins_anew_when_it_is_full():
    """A key that is known is changed as ever; another one than fits is alone there."""
    found = Bounded(2)
    found["a"] = found["b"] = found["a"] = 1
    assert {"a": 1, "b": 1} == found
    found["c"] = 2
    assert {"c": 2} == found
