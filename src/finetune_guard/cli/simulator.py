"""``finetune-guard simulator``: serve the simulated API on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from finetune_guard.cli.exits import SetupError, need_extra
from finetune_guard.cli.options import day_or_time
from finetune_guard.cli.output import template
from finetune_guard.domain.model_ids import EXAMPLE_ID, FineTunedModel
from finetune_guard.domain.validation import format_value


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
    from finetune_guard.simulator.server import DEFAULT_ADMIN_KEY, DEFAULT_API_KEY  # noqa: PLC0415 -- an extra

    models = tuple(model or (EXAMPLE_ID,))
    for each in models:
        if FineTunedModel.parse(each) is None:
            raise SetupError(
                f"--model is {format_value(each)}: a fine-tuned model's id is required, such as {EXAMPLE_ID}"
            )
    key = DEFAULT_ADMIN_KEY if admin_key else None
    prefix = "finetune-guard-simulator-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:

        def on_ready(url: str) -> None:
            store = Path(folder) / "history"
            typer.echo(_instructions(url, models, store, DEFAULT_API_KEY, key), nl=False)

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


def _instructions(url: str, models: tuple[str, ...], store: Path, api_key: str, admin_key: str | None) -> str:
    root = url.removesuffix("/v1")
    admin = f"\n    export FINETUNE_GUARD_ADMIN_API_KEY={admin_key}" if admin_key else ""
    return Template(template("simulator.txt")).substitute(
        url=url,
        root=root,
        place=root.removeprefix("http://"),
        keys=f"{api_key}{admin}",
        store=store,
        models="\n".join(f"    {model}" for model in models),
        opens="The keys open" if admin_key else "The key opens",
    )
