from __future__ import annotations

import re
from pathlib import Path

API_KEY = "sk-proj-a-secret-that-must-not-be-shown"
ADMIN_KEY = "sk-admin-another-secret-that-must-not-be-shown"
EXAMPLE = Path(__file__).parents[2] / "examples" / "drop_in.py"


def flat(text):
    """The text without line wrapping."""
    return " ".join(text.split())


def facts(output):
    """The named facts of an output that isn't wrapped."""
    return dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", output, re.MULTILINE))
