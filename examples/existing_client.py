"""Guard a client that something else has made; the original is left as it is.

python existing_client.py ft:gpt-4o-mini-...
"""

import sys

import openai

from finetune_guard import guard


def main(model: str) -> None:
    """Guard a plain client, and one of Azure's."""
    plain = openai.OpenAI()
    guarded = guard(plain)
    print("same class of client:", isinstance(guarded, openai.OpenAI), type(guarded).__name__)
    print("same connections:", guarded._client is plain._client)  # noqa: SLF001 -- to show it

    guarded.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    eligibility = guarded.guard.check()  # type: ignore[attr-defined] # checkers see the class that was given
    print("eligible until:", eligibility.window_closes_at)

    # Azure has other rules: its deployments are deleted when nobody calls them.
    azure = guard(
        openai.AzureOpenAI(
            azure_endpoint="https://acme.openai.azure.com", api_key="secret", api_version="2024-10-21"
        )
    )
    print("deployments known at Azure:", len(azure.guard.deployments()))  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1])
