"""Remembering what was seen, off the caller's thread."""
