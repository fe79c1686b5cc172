"""The keep-alive that runs by itself."""
