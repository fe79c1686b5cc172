"""The guard: it decides about jobs, records responses, syncs usage and sends keep-alives."""
