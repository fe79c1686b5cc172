"""Create a fine-tuning job; if the 60-day window is about to close or has closed, first send an inference.

python keep_alive.py file-...     creates a job
python keep_alive.py              only renews the window, for a scheduled task

The inference is minimal, on the fine-tuned model used last. OpenAI has not said whether it reopens a window
that has closed; the API's response to the job shows it.
"""

import sys
from datetime import timedelta

from finetune_guard import GuardConfig, KeepAlive, KeepAliveError, OpenAI

BASE_MODEL = "gpt-4o-mini-2024-07-18"
KEEP_ALIVE = KeepAlive(renew_within=timedelta(days=14), deadline=timedelta(seconds=30))


def create_job(client: OpenAI, training_file: str) -> None:
    """Create a job; if a keep-alive is due, it is sent automatically."""
    print("before:", client.guard.check().reason.value)
    job = client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=training_file)
    print("job:", job.status)
    print("after:", client.guard.check().reason.value)


def renew(client: OpenAI) -> None:
    """Send the inference if it is due, and print the outcome."""
    try:
        outcome = client.guard.keep_alive()
    except KeepAliveError as error:
        for model, why in error.attempts.items():
            print(f"{model}: {why}", file=sys.stderr)
        sys.exit(str(error.remedy))
    if outcome.reason is None:
        print("sent to", outcome.model)
    else:
        print("not sent:", outcome.reason.value)


if __name__ == "__main__":
    with OpenAI(guard=GuardConfig(keep_alive=KEEP_ALIVE)) as guarded:
        if len(sys.argv) > 1:
            create_job(guarded, sys.argv[1])
        else:
            renew(guarded)
