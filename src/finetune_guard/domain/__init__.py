"""Facts as values: policy, verdicts, histories, models, errors."""
