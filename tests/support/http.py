"""The HTTP library of the installed SDK."""

from __future__ import annotations

import importlib

import openai

HTTP = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__)
"""httpx or httpx2."""
