"""Ask a fine-tuned model several questions at once, then show how long jobs can be created.

python async_client.py ft:gpt-4o-mini-...
"""

import asyncio
import sys

from finetune_guard import AsyncOpenAI

QUESTIONS = ("Where is my parcel?", "How do I return it?", "Who pays for that?")


async def ask(client: AsyncOpenAI, model: str, question: str) -> str:
    """Return the model's answer, read as a stream."""
    stream = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": question}], stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


async def main(model: str) -> None:
    """Ask all questions at once."""
    async with AsyncOpenAI() as client:
        answers = await asyncio.gather(*(ask(client, model, question) for question in QUESTIONS))
        for question, answer in zip(QUESTIONS, answers, strict=True):
            print(f"{question} {answer}")

        eligibility = await client.guard.check()
        print(f"{eligibility.verdict.value}: {eligibility.reason.value} until {eligibility.window_closes_at}")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
