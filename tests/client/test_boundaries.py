"""While a date of the policy is being crossed somewhere on Earth, the API decides."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

import openai
import pytest

from finetune_guard import PolicyBoundaryWarning
from tests.client.both_ways import done
from tests.support.constants import BASE

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::finetune_guard.ShortLivedModelWarning"),
    pytest.mark.filterwarnings("ignore::finetune_guard.ModelSunsetWarning"),
]

FIRST_MOMENT = datetime(2027, 1, 5, 10, tzinfo=timezone.utc)
LAST_MOMENT = datetime(2027, 1, 7, 12, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("now", [FIRST_MOMENT, LAST_MOMENT - SECOND])
async def test_inside_the_band_the_api_decides(way, client, infer, clock, now, posts):
    """On January 6 a job is posted, with a warning for the line of the program that asked for it."""
    clock.set(now)
    await infer(client)

    async def create_here():
        creation = client.fine_tuning.jobs.create(model=BASE, training_file="file-x")
        return await creation if way.is_async else creation

    with (
        pytest.warns(PolicyBoundaryWarning, match="API decides") as caught,
        pytest.raises((openai.BadRequestError, openai.PermissionDeniedError)),
    ):
        await create_here()
    assert [__file__] == [warning.filename for warning in caught if warning.category is PolicyBoundaryWarning]
    assert 1 == posts("/fine_tuning/jobs")


async def test_uploads_go_through_without_a_word(client, infer, clock, caplog):
    """A file may still find its job."""
    clock.set(FIRST_MOMENT)
    await infer(client)
    caplog.set_level(logging.WARNING)
    data = b'{"messages": [{"role": "user", "content": "a"}]}\n'
    await done(client.files.create(purpose="fine-tune", file=("a.jsonl", data)))
    assert [] == caplog.records
