"""Guard a client that other code has created; the original stays unguarded.

python existing_client.py ft:gpt-4o-mini-...
"""

import sys

import openai

from finetune_guard import guard


def main(model: str) -> None:
    """Guard a plain client and an Azure client."""
    plain = openai.OpenAI()
    guarded = guard(plain)
    print("same class of client:", isinstance(guarded, openai.OpenAI), type(guarded).__name__)
    print("same connections:", guarded._client is plain._client)  # noqa: SLF001 -- only to show it

    guarded.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    eligibility = guarded.guard.check()  # type: ignore[attr-defined] # checkers see the original class
    print("eligible until:", eligibility.window_closes_at)

    # Azure has other rules: it deletes deployments that are not called.
    azure = guard(
        openai.AzureOpenAI(
            azure_endpoint="https://acme.openai.azure.com", api_key="secret", api_version="2024-10-21"
        )
    )
    print("deployments known at Azure:", len(azure.guard.deployments()))  # type: ignore[attr-defined]


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    main(sys.argv[1])
