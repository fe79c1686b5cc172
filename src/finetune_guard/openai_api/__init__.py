"""Requests to OpenAI's API and their responses."""
