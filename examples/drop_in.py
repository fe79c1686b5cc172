"""Fine-tune a model, or ask one a question. Only the import differs from a program for plain openai.

python drop_in.py examples.jsonl            uploads the file and creates a fine-tuning job
python drop_in.py ft:gpt-4o-mini-...        asks that model a question
"""

import sys
from pathlib import Path

from finetune_guard import OpenAI  # instead of: from openai import OpenAI

BASE_MODEL = "gpt-4o-mini-2024-07-18"
QUESTION = "Where is my parcel 4711?"


def main(argument: str) -> None:
    """Train with the argument if it is a file; otherwise ask that model."""
    client = OpenAI()
    if argument.endswith(".jsonl"):
        file = client.files.create(file=Path(argument), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file.id)
        print(job.id)
    else:
        reply = client.chat.completions.create(
            model=argument, messages=[{"role": "user", "content": QUESTION}]
        )
        print(reply.choices[0].message.content)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    main(sys.argv[1])
