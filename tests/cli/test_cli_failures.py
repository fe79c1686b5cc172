from __future__ import annotations

import openai
import pytest
import typer

from finetune_guard.cli.failures import reported
from tests.cli.cli_facts import API_KEY

FACTS = ["check", "status", "history", "keep-alive", "sync", "models"]


@pytest.mark.parametrize("command", FACTS)
def test_no_key_is_exit_2_and_says_what_to_set(run, environment, command):
    """Without a key nothing can be told; one line on stderr says which variable to set."""
    environment.setenv("OPENAI_API_KEY", "  ")
    result = run(command)
    assert 2 == result.exit_code
    assert "" == result.stdout
    assert "OPENAI_API_KEY" in result.stderr
    assert 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize("command", ["check", "keep-alive", "models", "config"])
def test_a_wrong_value_is_exit_2_and_named(run, environment, command):
    """A wrong setting is named with its variable, its value and what is allowed; no traceback."""
    environment.setenv("FINETUNE_GUARD_ON_UNKNOWN", "perhaps")
    result = run(command)
    assert 2 == result.exit_code
    assert "FINETUNE_GUARD_ON_UNKNOWN" in result.stderr
    assert "'perhaps'" in result.stderr
    assert "allow" in result.stderr
    assert "Traceback" not in result.output


def test_a_base_url_that_is_none_is_exit_2(run, environment):
    """A base URL that can't be read is pointed out without repeating what may be secret in it."""
    environment.setenv("OPENAI_BASE_URL", "http://user:hunter2@[::1")
    result = run("check")
    assert 2 == result.exit_code
    assert "OPENAI_BASE_URL" in result.stderr
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("arguments", "said", "command"),
    [
        (["nonsense"], "No such command 'nonsense'.", ""),
        (["check", "--nonsense"], "No such option: --nonsense", " check"),
        (["simulator", "--port", "x"], "Invalid value for '--port': ", " simulator"),
        (["files", "nonsense"], "No such command 'nonsense'.", " files"),
    ],
)
def test_misuse_is_exit_2(run, arguments, said, command):
    """What can't be understood is told like every other failure, with the help to look at."""
    result = run(*arguments)
    error, hint = result.stderr.splitlines()
    assert (2, "", f"To see what is allowed: finetune-guard{command} --help") == (
        result.exit_code,
        result.stdout,
        hint,
    )
    assert error.startswith(f"Error: {said}")


@pytest.fixture
def broken_store(environment, tmp_path):
    store = tmp_path / "a-file"
    store.write_text("not a history")
    environment.setenv("FINETUNE_GUARD_STORE", str(store))
    return store


def test_a_broken_store_leaves_check_unknown(run, broken_store):
    """When the history can't be read, `check` says unknown, and why on stderr."""
    result = run("check")
    assert 4 == result.exit_code
    assert "not known: the history of inferences can't be read.\n" == result.stdout
    assert str(broken_store) in result.stderr


def test_a_broken_store_is_a_failure_for_history(run, broken_store):
    """`history` can't show what can't be read: exit 1, with the place and the way out."""
    result = run("history")
    assert 1 == result.exit_code
    assert "" == result.stdout
    assert str(broken_store) in result.stderr
    assert "FINETUNE_GUARD_STORE" in result.stderr


def test_a_broken_store_is_shown_by_config_and_status(run, broken_store):
    """The commands that describe the set-up go on, since they are needed most then."""
    config, status = run("config"), run("status")
    assert 0 == config.exit_code
    assert "not a folder" in config.stdout
    assert 0 == status.exit_code
    assert "finetune-guard config" in status.stdout


@pytest.mark.parametrize("arguments", [["--debug", "history"], ["history", "--debug"]])
def test_debug_shows_the_traceback(run, broken_store, arguments):
    """--debug, before or after the command, shows where a failure came from; the exit code stays."""
    result = run(*arguments)
    assert 1 == result.exit_code
    assert "Traceback" in result.stderr
    assert "StoreError" in result.stderr


def test_secrets_are_not_in_tracebacks(run, environment):
    """A traceback shown by --debug has neither the key nor a URL's password in it."""
    environment.setenv("OPENAI_BASE_URL", f"http://u:hunter2@h:{API_KEY}/v1")
    result = run("check", "--debug")
    assert 2 == result.exit_code
    assert "Traceback" in result.stderr
    assert "hunter2" not in result.output
    assert API_KEY not in result.output


def test_an_unforeseen_failure_is_one_line(capsys):
    """Also a bug of ours ends with exit 1 and one line that says how to see more."""
    with pytest.raises(typer.Exit) as caught, reported(lambda: False):
        raise ValueError("of no use to anyone")
    assert 1 == caught.value.exit_code
    assert (
        "",
        "Error: finetune-guard failed with ValueError. Add --debug to see where.\n",
    ) == capsys.readouterr()


def test_the_apis_own_words_are_not_repeated(sim, environment, capsys):
    """An error of the API is told by status and code: its wording can hold parts of a key."""
    with (
        pytest.raises(typer.Exit) as caught,
        reported(lambda: False),
        openai.OpenAI(api_key="sk-wrong-and-secret") as client,
    ):
        client.models.list()
    assert 1 == caught.value.exit_code
    assert "Error: The API did not do what was asked: 401 invalid_api_key.\n" == capsys.readouterr().err
