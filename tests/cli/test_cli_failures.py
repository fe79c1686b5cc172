from __future__ import annotations

import re
import shlex
import sys

import openai
import pytest
import typer

from finetune_guard.cli.parsing import reported
from finetune_guard.domain.model_ids import EXAMPLE_ID
from tests.cli.cli_facts import flat
from tests.support.constants import BASE

SECRET = "the-secret-of-a-webhook"
NOT_PUBLISHED = "not published on pypi.org"
MISUSE = [
    ("check --min-lifetime 30d", "--min-lifetime needs --base"),
    ("check --min-remaining soon", "--min-remaining is 'soon'"),
    *(
        (f"check --base {BASE} --min-lifetime {least!r}", f"--min-lifetime is {least!r}")
        for least in ("0d", "")
    ),
    ("export", "Name the folder"),
    ("export out --since soon", "--since is 'soon'"),
    ("export out --format parquet", "parquet"),
    ("models --csv --json", "--json and --csv exclude each other"),
    ("models --ending soon", "--ending is 'soon'"),
    ("report --html x.html --json", "--html, --markdown and --json exclude each other"),
    ("report --html missing/x.html", "x.html can't be written: No such file or directory."),
    ("metrics --textfile missing/x.prom", "x.prom can't be written: No such file or directory."),
    ("sync --days 99999", "1 to 3650"),
    ("history forget umbrella-9 --yes", "Known there: none."),
    ("deployments --forget nonsense", "No deployment is known as 'nonsense'"),
    ("keep-alive --model gpt-4o", "'gpt-4o'"),
    ("keep-alive --watch --dry-run", "--force and --dry-run"),
    ("keep-alive --heartbeat alive", "--heartbeat"),
    ("keep-alive --watch --heartbeat nowhere/alive", "nowhere/alive can't be written"),
    ("keep-alive --deployment support", "No rule about deployments"),
    ("alert", "Say where to tell it: --webhook, FINETUNE_GUARD_WEBHOOK or --command; or use --dry-run."),
    ("alert --slack", "--slack is for a webhook"),
    ("alert --webhook https://a.example --command true", "exclude each other"),
    (f"alert --webhook ftp://a.example/{SECRET}", "The webhook is no URL that can be used"),
    (f"alert --webhook https://u:{SECRET}@a.example/", "no user or password"),
    (f"alert --webhook https://a.example:{SECRET}/", "The webhook is no URL that can be used"),
    (f"alert --webhook 'https://a.example/{SECRET}\r'", "A URL has characters that can't be printed."),
    ('alert --command "\'"', "--command names no program"),
    ("alert --command ''", "--command names no program"),
    *((f"schedule cron --every {every}", "1h, 2h, 3h") for every in ("5h", "90m", "36h", "soon")),
    ("schedule cron --every 14d", "in the last 14 days of the window"),
    ("schedule cron --every 7d --deployment support", "in the last 3 days of the window"),
    ("schedule cron --image i", "--image is for kubernetes"),
    ("schedule systemd --install x.whl", "--install is for kubernetes and github-actions"),
    ("schedule kubernetes", f"{NOT_PUBLISHED}: whoever"),
    ("schedule kubernetes", "--image"),
    ("schedule github-actions", "--install"),
    ("schedule github-actions --install finetune-guard[redis]==0.1.0", NOT_PUBLISHED),
    ('schedule kubernetes --install "\'open"', '--install is "\'open"'),
    *((f"{line} --base ''", "--base is '': a model's id is required") for line in ("check", "models")),
    ("simulator --now 2026-13-01", "2026-08-03T09:00Z"),
    ("simulator --model gpt-4.1-2025-04-14", "a fine-tuned model's id is required"),
    *((f"run {program}", "name a SCRIPT, or -m and a MODULE") for program in ("-c pass", "-m", "''")),
]


@pytest.mark.parametrize(("line", "expected"), MISUSE)
def test_wrong_argument_exits_2_and_does_nothing(run, admin, sim, tmp_path, monkeypatch, line, expected):
    monkeypatch.chdir(tmp_path)
    result = run(*shlex.split(line))
    assert (2, "", ()) == (result.exit_code, result.stdout, sim.calls)
    assert expected in flat(result.stderr)
    assert SECRET not in result.stderr
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("line", "expected", "command"),
    [
        ("nonsense", "No such command 'nonsense'.", ""),
        ("check --nonsense", "No such option: --nonsense", " check"),
        ("simulator --port x", "Invalid value for '--port': ", " simulator"),
        ("schedule launchd", "Invalid value for '.+': 'launchd' is not one of 'cron', ", " schedule"),
        ("files nonsense", "No such command 'nonsense'.", " files"),
    ],
)
def test_unknown_option_exits_2_and_points_to_the_help(run, line, expected, command):
    result = run(*line.split())
    error, hint = result.stderr.splitlines()
    assert (2, "") == (result.exit_code, result.stdout)
    assert f"To see what is allowed: finetune-guard{command} --help" == hint
    assert re.match(f"Error: {expected}", error)


@pytest.mark.parametrize(
    ("name", "value", "commands", "expected"),
    [
        ("OPENAI_API_KEY", "  ", ("check", "keep-alive", "history"), "Set OPENAI_API_KEY"),
        ("FINETUNE_GUARD_ON_UNKNOWN", "perhaps", ("check",), "_GUARD_ON_UNKNOWN) is 'perhaps': "),
        ("FINETUNE_GUARD_HOSTS", "", ("keep-alive", "models", "report"), "FINETUNE_GUARD_HOSTS={host}"),
    ],
)
def test_wrong_environment_exits_2_and_names_the_variable(
    run, environment, sim, name, value, commands, expected
):
    environment.setenv(name, value)
    for command in commands:
        result = run(command)
        assert (2, "", ()) == (result.exit_code, result.stdout, sim.calls)
        assert (1, True) == (len(result.stderr.splitlines()), expected.format(host=sim.host) in result.stderr)


@pytest.mark.parametrize(
    ("line", "module", "extra"),
    [
        ("calendar", "icalendar", "calendar"),
        ("metrics", "prometheus_client", "metrics"),
        ("report --html x.html", "jinja2", "report"),
        ("simulator", "starlette", "simulator"),
        ("demo", "starlette", "simulator"),
    ],
)
def test_missing_package_names_the_extra(run, monkeypatch, line, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    result = run(*line.split())
    expected = f"Error: This needs the extra {extra}: pip install 'finetune-guard[{extra}]'\n"
    assert (2, "", expected) == (result.exit_code, result.stdout, result.stderr)


@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        ("check", 4, "not known: the history of inferences can't be read.\n", "a-file"),
        ("history", 1, "", "FINETUNE_GUARD_STORE"),
        ("calendar", 1, "", "FINETUNE_GUARD_STORE"),
        ("config", 0, "not a folder", ""),
        ("status", 0, "finetune-guard config", ""),
        ("keep-alive", 7, "", "the history can't be read"),
        ("keep-alive --json", 7, "history_unavailable", "finetune-guard config"),
        ("keep-alive --dry-run", 7, "", "the history can't be read"),
        (f"keep-alive --force --dry-run --model {EXAMPLE_ID}", 0, "Due: ", ""),
    ],
)
def test_unreadable_history_claims_nothing_and_sends_nothing(run, broken_store, sim, line, code, out, err):
    result = run(*line.split())
    assert (code, bool(out)) == (result.exit_code, bool(result.stdout))
    assert "POST" not in [call.method for call in sim.calls]
    assert out in result.stdout
    assert err in result.stderr


@pytest.mark.parametrize("line", ["--debug history", "history --debug"])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(run, broken_store, line):
    result = run(*line.split())
    assert 1 == result.exit_code
    assert "Traceback" in result.stderr
    assert "StoreError" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--debug"]])
def test_invalid_base_url_exits_2_without_showing_secrets(run, environment, arguments):
    key = "of-a-gateway-and-unlike-others"
    environment.setenv("OPENAI_API_KEY", key)
    environment.setenv("OPENAI_BASE_URL", f"http://u:hunter2@h:{key}/v1")
    result = run("check", *arguments)
    assert (2, bool(arguments)) == (result.exit_code, "Traceback" in result.stderr)
    assert "OPENAI_BASE_URL" in result.stderr
    assert "hunter2" not in result.stderr
    assert key not in result.stderr


def test_unexpected_failure_is_one_line_and_exit_1(capsys):
    with pytest.raises(typer.Exit) as caught, reported(lambda: False):
        raise ValueError("of no use to anyone")
    expected = "Error: finetune-guard failed with ValueError. Add --debug to see where.\n"
    assert (1, ("", expected)) == (caught.value.exit_code, capsys.readouterr())


def test_api_error_shows_status_and_code_only(sim, environment, capsys):
    """The API's wording can hold parts of a key."""
    with (
        pytest.raises(typer.Exit) as caught,
        reported(lambda: False),
        openai.OpenAI(api_key="sk-wrong-and-secret") as client,
    ):
        client.models.list()
    assert 1 == caught.value.exit_code
    assert "Error: The API did not do what was asked: 401 invalid_api_key.\n" == capsys.readouterr().err
