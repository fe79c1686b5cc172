"""Exporting what a key can see of fine-tuning into a folder, and checking such a folder."""
