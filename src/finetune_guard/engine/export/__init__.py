"""Export the fine-tuning data that a key can see into a folder, and verify such a folder."""
