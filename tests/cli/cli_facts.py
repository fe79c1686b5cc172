from __future__ import annotations

from pathlib import Path

API_KEY = "sk-proj-a-secret-that-must-not-be-shown"
ADMIN_KEY = "sk-admin-another-secret-that-must-not-be-shown"
BASE = "gpt-4o-mini-2024-07-18"
EXAMPLE = Path(__file__).parents[2] / "examples" / "drop_in.py"
