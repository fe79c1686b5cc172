"""The input file of a batch: JSON lines, one request each. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_REQUESTS = 50_000


@dataclass(frozen=True)
class BatchRequest:
    """One line of the file: what to answer, and the caller's name for it."""

    custom_id: str
    body: Mapping[str, Any]

    @property
    def model(self) -> str | None:
        """The model that the request names."""
        model = self.body.get("model")
        return model if isinstance(model, str) else None


@dataclass(frozen=True)
class BatchInput:
    """What a file asks for: its requests, or the problems for which the whole batch fails."""

    requests: tuple[BatchRequest, ...]
    problems: tuple[dict[str, Any], ...]

    @property
    def model(self) -> str | None:
        """The one model of all requests; None when they name several or none."""
        models = {request.model for request in self.requests}
        return models.pop() if len(models) == 1 else None


def read(content: bytes, endpoint: str) -> BatchInput:
    """Read the file of a batch for ``endpoint``."""
    requests: list[BatchRequest] = []
    problems: list[dict[str, Any]] = []
    known: set[str] = set()
    for number, text in _lines(content):
        line = _object(text)
        problem = _problem(line, endpoint, known)
        if problem is not None:
            code, message, param = problem
            problems.append({"code": code, "line": number, "message": message, "param": param})
            continue
        known.add(line["custom_id"])
        requests.append(BatchRequest(line["custom_id"], line["body"]))
    if not requests and not problems:
        problems.append({"code": "empty_file", "line": None, "message": "The file is empty.", "param": None})
    if len(requests) > MOST_REQUESTS:
        message = f"The file has more than {MOST_REQUESTS} requests."
        problems.append({"code": "too_many_tasks", "line": None, "message": message, "param": None})
    return BatchInput(tuple(requests), tuple(problems))


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(content.splitlines(), 1) if line.strip())


def _object(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def _problem(line: dict[str, Any], endpoint: str, known: set[str]) -> tuple[str, str, str | None] | None:
    """Return the code, message and parameter of the first thing that is wrong with a line."""
    custom_id = line.get("custom_id")
    named = isinstance(custom_id, str) and custom_id != ""
    checks = (
        (not line, "invalid_json_line", "This line is no JSON object.", None),
        (not named, "missing_required_parameter", "Missing required parameter: 'custom_id'.", "custom_id"),
        (named and custom_id in known, "duplicate_custom_id", "The custom_id was used before.", "custom_id"),
        (line.get("method") != "POST", "invalid_method", "The method must be POST.", "method"),
        (
            line.get("url") != endpoint,
            "invalid_url",
            f"The url must be that of the batch, {endpoint}.",
            "url",
        ),
        (not isinstance(line.get("body"), dict), "invalid_request", "The body must be an object.", "body"),
    )
    return next(((code, message, param) for wrong, code, message, param in checks if wrong), None)
