"""Notes of what was seen, and the thread that writes them to a store."""
