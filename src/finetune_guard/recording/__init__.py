"""Pending inferences and other facts, and the thread that writes them to a store."""
