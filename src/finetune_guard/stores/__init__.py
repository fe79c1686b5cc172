"""Where histories live."""
