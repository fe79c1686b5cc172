"""Joining the guard to the OpenAI SDK: the only package that knows how its clients work inside."""
