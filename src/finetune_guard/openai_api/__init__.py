"""What OpenAI's API is asked, and what it answers."""
