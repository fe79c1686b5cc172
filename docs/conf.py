"""How Sphinx builds this site. Nothing is fetched: no theme from elsewhere, and no other project's index."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from importlib.metadata import version as version_of
from typing import Any

import typer
from pydantic import BaseModel
from sphinx.application import Sphinx

import finetune_guard
from finetune_guard.cli.app import app as commands
from finetune_guard.config import GuardConfig, variable
from finetune_guard.domain.catalog import published_catalog
from finetune_guard.domain.idle_policy import SHIPPED
from finetune_guard.domain.policy import OPENAI_SELF_SERVE
from finetune_guard.rules.idle_messages import idle_rule

project = "finetune-guard"
author = "The finetune-guard maintainers"
release = version_of("finetune-guard")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
smartquotes = False  # it would make one dash of the two of an option
html_theme = "furo"
html_title = f"finetune-guard {release}"
html_show_copyright = False
myst_heading_anchors = 3
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
python_use_unqualified_type_names = True
# Of other projects' names, and of those that are not public, there is nothing here to point to.
nitpick_ignore_regex = [("py:.*", ".*")]

_CLIENTS = "finetune_guard.client.classes"
_KINDS: dict[str, Callable[[Any], bool]] = {
    "Clients": lambda found: inspect.isfunction(found) or found.__module__ == _CLIENTS,
    "Errors": lambda found: issubclass(found, Exception) and not issubclass(found, Warning),
    "Warnings": lambda found: issubclass(found, Warning),
    "Settings": lambda found: found.__name__ in ("GuardConfig", "KeepAlive", "Store"),
    "Values": lambda _: True,
}
"""The headings of the reference; each public name stands under the first that it fits."""


def _python() -> str:
    """Return every public name under its heading."""
    names = finetune_guard.__all__  # type: ignore[attr-defined] # a checker finds the names by their imports
    left = {name: getattr(finetune_guard, name) for name in names}
    left = {name: found for name, found in left.items() if callable(found)}
    text = ""
    for heading, fits in _KINDS.items():
        names = [name for name, found in left.items() if fits(found)]
        text += f"## {heading}\n\n```{{eval-rst}}\n"
        for name in names:
            found = left.pop(name)
            if heading == "Warnings":  # autodoc fails at the constructor of Python's own class
                told = "\n   ".join((inspect.getdoc(found) or "").splitlines())
                text += f".. py:exception:: finetune_guard.{name}\n\n   {told}\n\n"
                continue
            kind = "function" if inspect.isfunction(found) else "class"
            text += f".. auto{kind}:: finetune_guard.{name}\n"
            if kind == "class" and heading != "Clients":
                text += "   :members:\n   :exclude-members: model_config, model_post_init\n"
            if kind == "class" and issubclass(found, Enum):
                text += "   :undoc-members:\n"
            text += "\n"
        text += "```\n\n"
    return text


def _settings() -> str:
    """Return a row for each setting."""
    rows = ["| Field | Variable | Default |", "|---|---|---|"]
    for name, field in GuardConfig.model_fields.items():
        default = field.default.name if field.default is OPENAI_SELF_SERVE else field.default
        if callable(default):
            default = "the machine's clock"
        rows.append(f"| `{name}` | `{variable(name)}` | `{default}` |")
    return "\n".join(rows)


def _commands() -> str:
    """Return what ``--help`` says of each command."""
    return "".join(_command(typer.main.get_command(commands), "finetune-guard", 2))


def _command(command: Any, name: str, level: int) -> list[str]:
    told = inspect.cleandoc((command.help or "").replace("\f", "")).replace("<", "&lt;")
    text = [f"{'#' * level} `{name}`\n\n{told}\n\n"]
    rows = []
    for each in command.params:
        named = (
            ", ".join(f"`{written}`" for written in each.opts)
            if each.param_type_name == "option"
            else each.name
        )
        about = (getattr(each, "help", None) or "").replace("<", "&lt;").replace("|", "\\|")
        if not getattr(each, "hidden", False):
            rows.append(f"| {named} | {about} |\n")
    if rows:
        text.append("| Option | Meaning |\n|---|---|\n" + "".join(rows) + "\n")
    for child, found in getattr(command, "commands", {}).items():
        text += _command(found, f"{name} {child}", min(level + 1, 4))
    return text


def _policy() -> str:
    """Return the provider's dated rules, in its own words."""
    rows = "".join(
        f"| {phase.starts_on} | {phase.rule} |\n" for phase in OPENAI_SELF_SERVE.phases if phase.starts_on
    )
    return f"| From | Rule |\n|---|---|\n{rows}"


def _idle_policies() -> str:
    """Return the rules about what nobody calls."""
    rows = [
        f"| {each.name} | {idle_rule(each)} {each.condition} {each.cost} "
        f"| {each.confidence}, {each.source}, {each.as_of} |\n"
        for each in SHIPPED
    ]
    return f"| Where | Rule | Source |\n|---|---|---|\n{''.join(rows)}"


def _table_of_ends() -> str:
    """Return the shutdown dates that ship with the package."""
    found = published_catalog()
    rows = [
        f"| {row.id} | {row.shutdown} | {row.fine_tunes_shutdown} | {row.replacement} |\n"
        for row in found.base_models
    ]
    head = "| Base model | Shut down on | Its fine-tunes | Published replacement |\n|---|---|---|---|\n"
    return f"As of {found.as_of}, by <{found.source}>:\n\n{head}{''.join(rows)}"


_GENERATED = {
    "explanation/model-ends": _table_of_ends,
    "explanation/policy": _policy,
    "how-to/azure": _idle_policies,
    "reference/python": _python,
    "reference/settings": _settings,
    "reference/command-line": _commands,
}


def _fill(_: Sphinx, page: str, source: list[str]) -> None:
    """Put what is generated from the code into a page, where it says ``<!-- generated -->``."""
    if page in _GENERATED:
        source[0] = source[0].replace("<!-- generated -->", _GENERATED[page]())


def _without_arguments(_: Sphinx, __: str, ___: str, found: Any, *____: Any) -> tuple[str, None] | None:
    """Leave out what a value, an error or a client is made of: the docstring tells it, or the SDK does."""
    is_value = inspect.isclass(found) and issubclass(found, (BaseModel, Enum, BaseException))
    return ("", None) if is_value or getattr(found, "__module__", "") == _CLIENTS else None


def _public_name(app: Sphinx, _: Any, node: Any, content: Any) -> Any:
    """Point from where a class is defined to where it is documented."""
    public = f"finetune_guard.{node.get('reftarget', '').rpartition('.')[2]}"
    domain = app.env.get_domain("py")
    if public not in getattr(domain, "objects", {}) or app.builder is None:
        return None
    kind = node.get("reftype", "obj")
    return domain.resolve_xref(app.env, node["refdoc"], app.builder, kind, public, node, content)


def setup(app: Sphinx) -> None:
    """Add what this site does beyond Sphinx."""
    app.connect("source-read", _fill)
    app.connect("autodoc-process-signature", _without_arguments)
    app.connect("missing-reference", _public_name)
