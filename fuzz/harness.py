"""One harness, in a process of its own: ``python fuzz/harness.py NAME FOLDER [libFuzzer's arguments]``.

Without a name it prints which there are. ``run.py`` starts it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

with atheris.instrument_imports(include=["finetune_guard", "email", "urllib"]):
    from hypothesis import HealthCheck, given
    from hypothesis import settings as how
    from tests.hostile import promises_of_answers as answers
    from tests.hostile import promises_of_settings as settings
    from tests.hostile import promises_of_stores as stores
    from tests.hostile import test_hostile_answers as answered
    from tests.hostile import test_hostile_rows as stored
    from tests.hostile import test_hostile_settings as configured
    from tests.hostile.hostile_values import ROWS


def _text(check: Callable[[str], object]) -> Callable[[bytes], object]:
    """Give bytes as text, half characters included."""

    def run(data: bytes) -> None:
        try:
            text = data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        check(text)

    return run


def _values(test: Callable[..., None]) -> Callable[[bytes], object]:
    """Give bytes to a test of Hypothesis, which makes its values of them."""
    untimed = how(deadline=None, suppress_health_check=list(HealthCheck))(test)
    run: Callable[[bytes], object] = untimed.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
    return run


HARNESSES: dict[str, Callable[[], Callable[[bytes], object]]] = {
    "date": lambda: _text(answers.date_header),
    "organization": lambda: _text(answers.organization_header),
    "model": lambda: _text(answers.model_id),
    "usage-page": lambda: _values(answered.test_any_usage_page_is_read_or_refused),
    "records": lambda: _values(answered.test_any_record_is_evidence_or_ignored),
    "lists": lambda: _values(answered.test_any_list_ends),
    "api-error": lambda: _values(answered.test_any_api_error_is_classified),
    "duration": lambda: _text(settings.duration),
    "host": lambda: _text(settings.host),
    "request-url": lambda: _text(settings.request_url),
    "store": lambda: _text(settings.store_location),
    "redis-url": lambda: _text(settings.redis_url),
    "environment": lambda: _values(configured.test_any_environment_is_a_configuration_or_an_error),
    "row-key": lambda: _text(stores.row_key),
    "redis-value": lambda: _values(stored.test_any_redis_value_is_text_or_an_error),
    **{f"row-{kind}": lambda kind=kind: _values(given(ROWS[kind])(_row(kind))) for kind in ROWS},  # type: ignore[misc]
}

SEEDS: dict[str, list[str]] = {
    "date": answered.DATES,
    "organization": answered.NAMES[:-1],
    "model": ["ft:gpt-4o-mini-2024-07-18:acme:bot:AbC1:ckpt-step-7", "davinci:ft-acme", "a.ft-0f-x"],
    "row-key": ['["evidence","acme"]', '["model","acme","ft:a:b::c"]'],
    **{name.replace("_", "-"): pieces for name, pieces in configured.PIECES.items()},
}


def _row(kind: str) -> Callable[[object], None]:
    def planted(value: object) -> None:
        stores.ROWS[kind]("1:" + stored.text_of(value))

    return planted


def main() -> None:
    """Run the harness that is named with the inputs of a folder, until libFuzzer has enough."""
    if len(sys.argv) == 1:
        print("\n".join(HARNESSES))
        return
    name, folder, *arguments = sys.argv[1:]
    for number, seed in enumerate(SEEDS.get(name, ())):
        (Path(folder) / f"seed-{number}").write_bytes(seed.encode("utf-8", "surrogatepass"))
    atheris.Setup([sys.argv[0], *arguments, folder], HARNESSES[name]())
    atheris.Fuzz()


if __name__ == "__main__":
    main()
