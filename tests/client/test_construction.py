"""Creating and dropping clients works as with the SDK, with one more argument."""

from __future__ import annotations

import ast
import gc
import inspect
import pickle
import re
import weakref
from pathlib import Path

import openai
import pytest

import finetune_guard
from finetune_guard import GuardConfig, GuardConfigError, KeepAlive
from tests.client.flavours import done, entered
from tests.support.constants import MESSAGES, START

pytestmark = pytest.mark.anyio

NAMES = pytest.mark.parametrize("name", ["OpenAI", "AsyncOpenAI", "AzureOpenAI", "AsyncAzureOpenAI"])
KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY


def construct(cls):
    """Return a client of any of the classes."""
    azure = {"api_version": "2024-10-21", "azure_endpoint": "https://acme.example"}
    return cls(api_key="sk-test", **(azure if "Azure" in cls.__name__ else {}))


@NAMES
def test_client_is_an_instance_of_the_sdks_class(name):
    """Libraries that look at name and module find the SDK's."""
    ours, theirs = getattr(finetune_guard, name), getattr(openai, name)
    client = construct(ours)
    assert isinstance(client, ours)
    assert isinstance(client, theirs)
    assert ours.__doc__
    for each_client in (client, client.copy(), finetune_guard.guard(construct(theirs))):
        assert isinstance(each_client, getattr(finetune_guard, name.replace("Azure", "")))  # as in the SDK
        assert type(client) is type(each_client)
        assert (name, theirs.__module__) == (type(each_client).__name__, type(each_client).__module__)


@NAMES
@pytest.mark.parametrize("pickler", [pickle.dumps, pickle._dumps], ids=["C", "Python"])
def test_classes_are_pickled_by_reference(name, pickler):
    public = getattr(finetune_guard, name)
    for cls in (public, type(construct(public)), OwnInstances):
        assert pickle.loads(pickler(cls)) is cls


class OwnInstances(type(construct(finetune_guard.OpenAI))):
    """A subclass of the class that a client has."""


def test_subclass_may_have_any_name_and_metaclass():
    class Singleton(type):
        _instances = {}  # noqa: RUF012 -- as everybody writes it

        def __call__(cls, *args, **kwargs):
            return cls._instances.setdefault(cls, super().__call__(*args, **kwargs))

    class PlainSubclass(finetune_guard.OpenAI, metaclass=Singleton): ...

    assert type(PlainSubclass(api_key="sk-test")) is PlainSubclass
    assert PlainSubclass(api_key="sk-test") is PlainSubclass(api_key="sk-test")


@NAMES
@pytest.mark.parametrize("method", ["__init__", "copy", "with_options"])
def test_constructor_signature_is_the_sdks_plus_guard(name, method):
    ours, theirs = (getattr(getattr(package, name), method) for package in (finetune_guard, openai))
    expected = {
        **inspect.signature(theirs).parameters,
        "guard": inspect.Parameter("guard", KEYWORD_ONLY, default=None),
    }
    assert expected == dict(inspect.signature(ours).parameters)
    assert {**theirs.__kwdefaults__, "guard": None} == ours.__kwdefaults__


def test_request_has_the_sdks_signature(flavour):
    assert inspect.signature(flavour.bare.request) == inspect.signature(flavour.guarded.request)


@NAMES
@pytest.mark.parametrize("method", ["__init__", "copy"])
def test_stub_has_the_newest_sdk_parameters(name, method):
    if tuple(map(int, openai.__version__.split(".")[:2])) < (3, 54):
        pytest.skip("the stub describes a newer release of openai")
    stub = Path(finetune_guard.__file__).with_name("client") / "classes.pyi"
    parsed = ast.parse(stub.read_text(encoding="utf-8")).body
    classes = {node.name: node for node in parsed if isinstance(node, ast.ClassDef)}

    def options(cls):
        own = {node.target.id: ast.unparse(node.annotation) for node in cls.body if hasattr(node, "target")}
        bases = (classes[base.id] for base in cls.bases if base.id in classes)
        return own | {name: kind for base in bases for name, kind in options(base).items()}

    (function,) = (node for node in classes[name].body if getattr(node, "name", None) == method)
    stated = options(classes[function.args.kwarg.annotation.slice.id])
    assert "GuardConfig | None" == stated.pop("guard")
    parameters = inspect.signature(getattr(getattr(openai, name), method)).parameters
    expected = {name: parameter.annotation for name, parameter in parameters.items() if name != "self"}
    assert expected == stated


@pytest.mark.parametrize(
    "wrong", [{"store": "memory"}, KeepAlive(), GuardConfig], ids=lambda wrong: type(wrong).__name__
)
def test_guard_argument_must_be_a_configuration(flavour, wrong):
    client = flavour.guarded(api_key="sk-test")
    for make in (flavour.guarded, client.copy, client.with_options):
        with pytest.raises(GuardConfigError, match=r"configuration is .*: a GuardConfig is required"):
            make(api_key="sk-test", guard=wrong)


async def test_context_manager_returns_and_closes_the_client(flavour, sim, configured, model, store):
    created = flavour.guarded(base_url=sim.base_url, api_key=sim.organization().api_key, guard=configured())
    async with entered(created) as client:
        assert client is created
        await done(client.chat.completions.create(model=model, messages=MESSAGES))
    assert created.is_closed()
    assert START == store.evidence(sim.organization().slug).last_inference.at


async def test_dropped_client_is_collected(flavour, sim, configured, model):
    client = flavour.guarded(base_url=sim.base_url, api_key=sim.organization().api_key, guard=configured())
    copy = client.with_options(timeout=300)
    for each_client in (client, copy):
        await done(each_client.chat.completions.create(model=model, messages=MESSAGES))
        await done(each_client.guard.check())
    await done(client.close())
    references = [weakref.ref(client), weakref.ref(copy)]
    del client, copy, each_client
    gc.collect()
    assert [None, None] == [reference() for reference in references]


async def test_no_file_is_made_before_the_first_fine_tuned_inference(connect, sim, infer, model, tmp_path):
    folder = tmp_path / "history"
    client = connect(config={"store": folder})
    await done(client.models.retrieve("gpt-4o-mini"))
    await done(client.fine_tuning.jobs.list())
    await infer(client, on="gpt-4o-mini")
    await done(client.guard.check())
    await done(client.guard.flush())
    assert not folder.exists()
    await infer(client)
    await done(client.guard.flush())
    assert folder.exists()


async def test_working_program_prints_and_logs_nothing(client, infer, sim, capsys, caplog):
    caplog.set_level("INFO", "finetune_guard")
    await infer(client)
    with pytest.raises(openai.BadRequestError):
        await done(client.fine_tuning.jobs.create(model="gpt-4o-mini-2024-07-18", training_file="x"))
    await done(client.guard.flush())
    assert ("", "") == capsys.readouterr()
    assert [] == [record for record in caplog.records if record.name.startswith("finetune_guard")]


def test_sdks_private_modules_are_imported_in_one_file():
    sources = Path(finetune_guard.__file__).parent.rglob("*.py")
    private = re.compile(r"^\s*(?:from|import) openai\._", re.MULTILINE)
    importing = {path.name for path in sources if private.search(path.read_text(encoding="utf-8"))}
    assert {"sdk_compat.py"} == importing
