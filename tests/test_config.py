"""Configuration: defaults, environment, constructor, and errors for wrong values."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from finetune_guard import OPENAI_SELF_SERVE, GuardConfig, GuardConfigError, KeepAlive
from finetune_guard.clock import system_clock
from finetune_guard.domain.idle_policy import AZURE, SHIPPED
from finetune_guard.stores.memory import MemoryStore

AZURE_NAMES = ("support-bot", "acme.openai.azure.com/triage")


def fixed_clock() -> datetime:
    return datetime(2026, 11, 22, tzinfo=timezone.utc)


def test_defaults():
    config = GuardConfig()
    values = (config.store, config.policy, config.hosts, config.on_unknown, config.keep_alive, config.clock)
    assert ("disk", OPENAI_SELF_SERVE, (), "raise", None, system_clock) == values
    assert {"default"} == set(config.origins().values())


def test_constructor_overrides_environment_overrides_default(monkeypatch):
    monkeypatch.setenv("FINETUNE_GUARD_ON_UNKNOWN", "allow")
    monkeypatch.setenv("FINETUNE_GUARD_STORE", "memory")
    config = GuardConfig(store="./elsewhere")
    assert ("./elsewhere", "allow", True) == (config.store, config.on_unknown, config.enabled)
    origins = [config.origins()[name] for name in ("store", "on_unknown", "enabled")]
    assert ["constructor", "environment", "default"] == origins


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("hosts", "127.0.0.1:8080, gw.acme.example", ("127.0.0.1:8080", "gw.acme.example")),
        ("hosts", '["gw.acme.example", "[::1]:8080"]', ("gw.acme.example", "[::1]:8080")),
        ("hosts", "[::1]:8080,", ("[::1]:8080",)),
        ("hosts", '"gw.acme.example"', ("gw.acme.example",)),
        ("model_dates", '{"gpt-4": "2027-06-01", "ft:a": null}', {"gpt-4": date(2027, 6, 1), "ft:a": None}),
        ("keep_alive", "on", KeepAlive()),
        ("keep_alive", "off", None),
        ("keep_alive", "7d", KeepAlive(renew_within=timedelta(days=7))),
        ("keep_alive", '{"deadline": "30s"}', KeepAlive(deadline=timedelta(seconds=30))),
        ("check_uploads", "no", False),
        ("deployments", "support-bot, acme.openai.azure.com/triage", AZURE_NAMES),
        ("enabled", "", True),
        ("clock", "finetune_guard.clock:system_clock", system_clock),
        ("on_event", "builtins:print", print),
        ("policy", OPENAI_SELF_SERVE.model_dump_json(), OPENAI_SELF_SERVE),
    ],
)
def test_every_field_has_a_variable(monkeypatch, field, value, expected):
    monkeypatch.setenv(f"FINETUNE_GUARD_{field.upper()}", value)
    assert expected == getattr(GuardConfig(), field)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("on_unknown", "maybe", "is 'maybe': input should be 'raise', 'warn' or 'allow'"),
        ("on_unknown", '"Allow"', "; did you mean allow?"),
        ("enabled", "perhaps", "is 'perhaps': true or false is required"),
        ("hosts", "https://u:pw@gw.example/v1", "'https://***@gw.example/v1' is not a host: a name"),
        ("keep_alive", "soon", "KeepAlive.renew_within is 'soon': a time longer than zero is required, such"),
        ("keep_alive", "{", "is '{': valid JSON is required"),
        ("keep_alive", "60d", "renew_within must be shorter than the policy's window of 60 days"),
        ("policy", "openai", "is 'openai': valid JSON is required"),
        ("clock", "nowhere:clock", "No module named 'nowhere'"),
        ("store", "nonsense", "'nonsense' is not a store"),
        ("policies", "/nowhere/rules.toml", "/nowhere/rules.toml can't be read: No such file or directory"),
    ],
)
def test_wrong_variable_is_named_with_what_is_allowed(monkeypatch, field, value, expected):
    monkeypatch.setenv(f"FINETUNE_GUARD_{field.upper()}", value)
    with pytest.raises(GuardConfigError) as caught:
        GuardConfig()
    message = str(caught.value)
    assert message.startswith(f"GuardConfig.{field}")
    assert f"(from FINETUNE_GUARD_{field.upper()})" in message
    assert expected in message


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"on_unkown": "allow"}, "on_unkown does not exist; did you mean on_unknown? Allowed: admin_api_"),
        ({"what": 1}, "what does not exist; allowed: admin_api_key, check_uploads, clock,"),
        ({"hosts": "[1]"}, "hosts.0 is 1: input should be a valid string"),
        ({"store": 3}, 'store is 3: "disk", "memory", a folder, a URL or a Store is required'),
        ({"clock": 3}, "clock is 3: input should be callable"),
        ({"on_event": asyncio.sleep}, "on_event is "),
        ({"model_dates": "{"}, "model_dates is '{': valid JSON is required"),
        ({"model_dates": [1]}, "model_dates is [1]: a mapping of model ids to dates is required"),
        ({"model_dates": {"": None}}, "model_dates is {'': None}: '' is not a model: an id such as "),
        ({"model_dates": {"a": 1}}, "model_dates is {'a': 1}: the end of a is 1: a date, "),
        ({"model_dates": {"a": "2027-W01-1"}}, "model_dates is {'a': '2027-W01-1'}: the end of a is "),
        ({"model_dates": {"a": fixed_clock()}}, "model_dates is {'a': datetime.datetime(2026"),
        ({"keep_alive": True}, 'keep_alive is True: a KeepAlive, "on", "off" or a renew_within'),
        ({"hosts": ["https://gw.acme.example/v1"]}, "hosts is "),
        ({"hosts": "*"}, "hosts is '*': '*' is not a host: a name, *. before one, "),
        ({"hosts": 3}, "hosts is 3: "),
        ({"on_unknown": "x" * 10_000}, f"on_unknown is '{'x' * 119}...: input should be"),
        ({"admin_api_key": ""}, "admin_api_key is of type str: text is required"),
    ],
)
def test_wrong_argument_is_named_with_what_is_allowed(wrong, expected):
    with pytest.raises(GuardConfigError) as caught:
        GuardConfig(**wrong)
    assert str(caught.value).startswith(f"GuardConfig.{expected}")
    assert isinstance(caught.value, ValueError)


def test_configuration_is_immutable():
    with pytest.raises(ValidationError, match="frozen"):
        GuardConfig().enabled = False
    assert fixed_clock is GuardConfig(clock=fixed_clock).clock


def test_clients_of_one_configuration_share_its_store(tmp_path):
    config = GuardConfig(store="memory")
    assert config.open_store() is config.open_store()
    assert config.open_store() is not GuardConfig(store="memory").open_store()
    store = MemoryStore()
    assert store is GuardConfig(store=store).open_store()
    assert str(tmp_path) in GuardConfig(store=tmp_path).open_store().location


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@h/0",
        "redis://u:s3@cret@h",
        "redis://h?password=s3cret&db=1",
        "bad://s3cret/@h",
        "ftp://u:s3cret@h",
    ],
)
def test_password_of_a_store_url_is_never_shown(url):
    try:
        config = GuardConfig(store=url)
        message = f"{config!r} {config} {vars(config)} {config.model_dump()} {config.model_dump(mode='json')}"
        assert "s3" in repr(config.open_store()._url.secrets)
        assert config.open_store() is not config.model_copy(update={"store": "memory"}).open_store()
    except GuardConfigError as error:
        message = str(error)
    assert "s3" not in message
    assert "://" in message


def test_disabled_guard_ignores_wrong_values_but_no_unknown_field(monkeypatch):
    monkeypatch.setenv("FINETUNE_GUARD_ON_UNKNOWN", "perhaps")
    config = GuardConfig(enabled=False, store="nonsense", check_uploads=False)
    assert ("raise", "disk", False) == (config.on_unknown, config.store, config.enabled)
    assert ("default", "default", "constructor") == tuple(
        config.origins()[name] for name in ("on_unknown", "store", "check_uploads")
    )
    monkeypatch.setenv("finetune_guard_enabled", "off")
    assert not GuardConfig(hosts="*").guards("api.openai.com", None)
    with pytest.raises(GuardConfigError, match="on_unkown does not exist"):
        GuardConfig(on_unkown="allow")
    with pytest.raises(GuardConfigError, match="perhaps"):
        GuardConfig(enabled=True)


def test_wrong_variables_are_reported_and_the_others_used(monkeypatch):
    assert {} == GuardConfig.from_environment()[1]
    monkeypatch.setenv("FINETUNE_GUARD_ON_UNKNOWN", "perhaps")
    monkeypatch.setenv("FINETUNE_GUARD_KEEP_ALIVE", "60d")
    monkeypatch.setenv("FINETUNE_GUARD_HOSTS", "gw.acme.example")
    config, errors = GuardConfig.from_environment()
    assert ("raise", None, ("gw.acme.example",)) == (config.on_unknown, config.keep_alive, config.hosts)
    assert ["environment", "default"] == [config.origins()[name] for name in ("hosts", "on_unknown")]
    assert ["on_unknown", "keep_alive"] == list(errors)
    assert all(f"(from FINETUNE_GUARD_{name.upper()})" in error for name, error in errors.items())


def test_openais_or_azures_rules_apply_to_a_host():
    own = SHIPPED[0].model_copy(update={"name": "all of ours", "hosts": ("api.openai.com", "gw.example")})
    config = GuardConfig(hosts=["acme.openai.azure.com", "gateway.example"], policies=(own,))
    for host, is_guarded, name in (
        ("api.openai.com", True, None),
        ("acme.openai.azure.com", False, AZURE),
        ("gw.example", False, "all of ours"),
        ("gateway.example", True, None),
        ("x.y", False, None),
    ):
        rule = config.idle_policy(host, 443)
        assert (is_guarded, name) == (config.guards(host, 443), rule and rule.name)
    assert SHIPPED[0] == config.idle_policy("x.y", 443, is_azure=True)
    assert GuardConfig(enabled=False).idle_policy("acme.openai.azure.com", 443) is None
