"""Work for the processes of a fleet; importable from other processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from finetune_guard import GuardConfig

CHAT, JOBS = "/v1/chat/completions", "/v1/fine_tuning/jobs"
PATIENCE = 300
"""Seconds after which a test gives up, on whatever machine."""


@dataclass(frozen=True)
class Stage:
    """What a process must know of one organization: the API, its name, key, model, history, and the time."""

    base_url: str
    slug: str
    key: str
    model: str
    location: str
    now: datetime

    def at(self, now):
        """The same at another time."""
        return replace(self, now=now)

    def config(self, **fields):
        """A configuration of one's own, as each process makes it."""
        host = urlsplit(self.base_url).netloc
        return GuardConfig(**{"store": self.location, "hosts": [host], "clock": lambda: self.now, **fields})

    def connect(self, kind, **fields):
        """A client of one's own."""
        options = {name: fields.pop(name) for name in ("http_client",) if name in fields}
        return kind(
            base_url=self.base_url, api_key=self.key, max_retries=0, guard=self.config(**fields), **options
        )
