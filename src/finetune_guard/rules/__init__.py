"""What is decided, by pure functions."""
