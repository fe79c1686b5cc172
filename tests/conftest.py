"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from tests.effort import some

# No test is timed: how long an example takes says more about the machine than about the code. New examples
# are for where someone looks at what they find; elsewhere one commit always gives the same result.
settings.register_profile(
    "untimed",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("CI", "").lower() in {"1", "true"},
    max_examples=some(100),
)
settings.load_profile("untimed")
