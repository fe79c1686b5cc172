"""A drop-in wrapper around the OpenAI client that knows whether fine-tuning jobs may still be created."""
