"""``finetune-guard simulator``: serve the simulated API on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from finetune_guard.cli.exits import SetupError, need_extra
from finetune_guard.cli.options import day_or_time
from finetune_guard.domain.model_ids import EXAMPLE_ID


def simulator(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The TCP port; 0 for any free one.")] = 8400,
    now: Annotated[
        str | None,
        typer.Option(help="The simulated time to begin with, such as 2026-08-03 or 2026-08-03T09:00Z."),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Simulated seconds for a real one; 0 for a clock that stands still.")
    ] = 1.0,
    model: Annotated[
        list[str] | None, typer.Option(help="A fine-tuned model that the organization owns; repeatable.")
    ] = None,
    admin_key: Annotated[
        bool, typer.Option("--admin-key", help="Give the organization an admin key, which reads its usage.")
    ] = False,
) -> None:
    """Serve a simulated API on this machine until Ctrl-C.

    It is said how to point a program at it. It is a real HTTP server that answers as the API does under
    the policy. Nothing leaves this machine.
    """
    start = day_or_time("--now", now)
    need_extra("starlette", "simulator")
    from finetune_guard.simulator import serve  # noqa: PLC0415 -- an extra
    from finetune_guard.simulator.server import DEFAULT_ADMIN_KEY  # noqa: PLC0415 -- an extra

    models = tuple(model or (EXAMPLE_ID,))
    key = DEFAULT_ADMIN_KEY if admin_key else None
    prefix = "finetune-guard-simulator-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:

        def on_ready(url: str) -> None:
            typer.echo(_instructions(url, models, Path(folder) / "history", key))

        try:
            serve(
                host=host, port=port, now=start, speed=speed, models=models, admin_key=key, on_ready=on_ready
            )
        except OSError as error:
            raise SetupError(
                f"The simulator can't listen on {host}:{port}: {error.strerror or error}. "
                "Name another address with --host and --port; --port 0 takes any free one."
            ) from error
        typer.echo("Stopped.")


def _instructions(base_url: str, models: tuple[str, ...], store: Path, admin_key: str | None) -> str:
    from finetune_guard.simulator.server import DEFAULT_API_KEY  # noqa: PLC0415 -- an extra

    root = base_url.removesuffix("/v1")
    place = root.removeprefix("http://")
    admin = f"\n    export FINETUNE_GUARD_ADMIN_API_KEY={admin_key}" if admin_key else ""
    listed = "\n".join(f"    {model}" for model in models)
    opens = "The keys open" if admin_key else "The key opens"
    return f"""The simulator answers at {base_url}

Point a program at it:

    export OPENAI_BASE_URL={base_url}
    export OPENAI_API_KEY={DEFAULT_API_KEY}{admin}
    export FINETUNE_GUARD_HOSTS={place}
    export FINETUNE_GUARD_STORE={store}
    export FINETUNE_GUARD_CLOCK=finetune_guard.testing:simulator_clock

The organization's fine-tuned models:

{listed}

Look at the clock, turn it on by 61 days, and see what was called:

    curl {root}/_simulator/clock
    curl -d '{{"advance_seconds": 5270400}}' {root}/_simulator/clock
    curl {root}/_simulator/calls

{opens} the simulator only. The history is removed when the simulator stops. Ctrl-C stops it."""
