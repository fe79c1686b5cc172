"""What Azure's management API is asked. Needs the extra ``azure``."""
