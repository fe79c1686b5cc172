from __future__ import annotations

from pathlib import Path

API_KEY = "sk-proj-a-secret-that-must-not-be-shown"
ADMIN_KEY = "sk-admin-another-secret-that-must-not-be-shown"
EXAMPLE = Path(__file__).parents[2] / "examples" / "drop_in.py"
