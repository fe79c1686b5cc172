"""Constants shared by many tests."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
BASE = "gpt-4o-mini-2024-07-18"
FINE_TUNED = f"ft:{BASE}:acme:support-bot:AbC123xY"
COMPLETION = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "choices": [{"index": 0}]}
"""An answer that shows a completion, and names no model."""
MESSAGES = [{"role": "user", "content": "hello"}]
START = datetime(2026, 8, 1, tzinfo=timezone.utc)
TRAINING_DATA = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


def utc(*parts: int) -> datetime:
    """Return a time in UTC."""
    return datetime(*parts, tzinfo=timezone.utc)
