"""Histories on a Redis or Valkey server."""
