"""One guard: it decides, observes, syncs and keeps the window open."""
