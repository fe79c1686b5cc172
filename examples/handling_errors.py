"""Create a fine-tuning job and handle each kind of failure.

python handling_errors.py file-...
"""

import sys

import openai

from finetune_guard import (
    FineTuningRefusedError,
    InferenceWindowExpiredError,
    NoInferenceRecordedError,
    NotEligibleError,
    OpenAI,
)

BASE_MODEL = "gpt-4o-mini-2024-07-18"


def main(training_file: str) -> int:
    """Create a job; return 0, or another exit code for each kind of failure."""
    with OpenAI() as client:
        try:
            job = client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=training_file)
        except InferenceWindowExpiredError as error:  # nothing was sent
            last = error.eligibility.last_inference if error.eligibility is not None else None
            print("The window closed. The latest inference known:", last.model if last else "none")
            print(error.remedy)
            return 3
        except NoInferenceRecordedError as error:  # nothing was sent: the verdict is unknown
            print("No inference is known.", error.remedy)
            return 4
        except FineTuningRefusedError as error:  # the API refused, now or earlier
            print("The API refused" + (" before" if error.remembered else "") + ":", error.code)
            return 5
        except NotEligibleError as error:  # the closing date has passed, or another rule applies
            print(error)
            return 6
        except openai.OpenAIError as error:  # other errors: a wrong key, no quota, no network
            print(f"{type(error).__name__}: {error}")
            return 1
    print("Created:", job.status)
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
