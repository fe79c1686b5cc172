"""``python -m finetune_guard``, for where the command itself is not on the path."""

from finetune_guard.cli import main

main()
