"""What can be wrong with a page of usage, on request."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SPARE_CURSOR = "page_spare"
"""The cursor of a page that is not there."""


class UsageFlaw(BaseModel):
    """What is wrong with a page of usage that is right otherwise.

    Attributes:
        leaves_out: The buckets that are missing: those without results, all, or some by their position,
            where -1 is the last one.
        spare_cursor: Whether the last page too says that another follows; what follows is empty.
        null_models: Whether no result names its model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    leaves_out: Literal["empty", "all"] | tuple[int, ...] = ()
    spare_cursor: bool = False
    null_models: bool = False

    def spoil(self, page: dict[str, Any]) -> dict[str, Any]:
        """Return ``page`` with the flaw."""
        buckets = list(page["data"])
        if self.leaves_out == "empty":
            buckets = [bucket for bucket in buckets if bucket["results"]]
        elif self.leaves_out == "all":
            buckets = []
        else:
            missing = {position % max(len(page["data"]), 1) for position in self.leaves_out}
            buckets = [bucket for number, bucket in enumerate(buckets) if number not in missing]
        if self.null_models:
            buckets = [
                {**bucket, "results": [{**result, "model": None} for result in bucket["results"]]}
                for bucket in buckets
            ]
        spoilt = {**page, "data": buckets}
        if self.spare_cursor and not page["has_more"]:
            spoilt.update(has_more=True, next_page=SPARE_CURSOR)
        return spoilt
