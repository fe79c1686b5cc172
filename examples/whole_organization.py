"""Show the usage of the whole organization, by any program, and when its models are shut down.

OPENAI_ADMIN_KEY=sk-admin-... python whole_organization.py
"""

import sys

from finetune_guard import OpenAI, UsageSyncError


def main() -> None:
    """Read the usage, then show how long jobs can be created, and when each model is shut down."""
    with OpenAI() as client:
        try:
            usage = client.guard.sync()
        except UsageSyncError as error:
            sys.exit(str(error))
        if not usage.complete:
            print(f"read up to {usage.covered_until:%Y-%m-%d %H:%M} only: {usage.failure}")

        eligibility = client.guard.check()
        print(f"{eligibility.verdict.value}: {eligibility.reason.value} until {eligibility.window_closes_at}")
        for model in client.guard.models().models:
            used = (
                f"{model.last_inference.at:%Y-%m-%d %H:%M}"
                if model.last_inference
                else "never, as far as is known"
            )
            ends = (
                f"{model.shutdown.day} (from the {model.shutdown.source.value})"
                if model.shutdown
                else "unknown"
            )
            print(f"{model.id}: last used {used}, ends {ends}")


if __name__ == "__main__":
    main()
