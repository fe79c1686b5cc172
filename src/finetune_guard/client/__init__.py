"""The SDK's side: guarded clients and what they offer."""
