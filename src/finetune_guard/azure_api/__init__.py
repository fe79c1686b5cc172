"""Client of Azure's management API. Needs the extra ``azure``."""
