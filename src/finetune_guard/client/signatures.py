"""Showing the SDK's parameters, and ``guard``, in the signatures of guarded classes."""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from typing import Any

_GUARD = Parameter("guard", Parameter.KEYWORD_ONLY, default=None)


def show_parent_parameters(cls: Any) -> Any:
    """Let ``help``, editors and ``inspect`` see what the SDK's release takes, and ``guard`` beside it."""

    def __init__(self: Any, *args: Any, **options: Any) -> None:  # noqa: N807 -- it becomes one
        super(cls, self).__init__(*args, **options)

    def copy(self: Any, *args: Any, **options: Any) -> Any:
        return super(cls, self).copy(*args, **options)

    parent = cls.__bases__[-1]
    methods: dict[str, Any] = {"__init__": __init__, "copy": copy}
    for name, method in methods.items():
        original = getattr(parent, name)
        method.__qualname__ = f"{cls.__qualname__}.{name}"
        method.__module__ = cls.__module__
        look_like(method, original, _with_guard(original), guard=Any)
        # Python itself ignores the names that aren't in the method's own code; tools read them all.
        method.__kwdefaults__ = {**(original.__kwdefaults__ or {}), "guard": None}
        setattr(cls, name, method)
    cls.with_options = copy
    return cls


def look_like(method: Any, original: Any, shown: Signature | None = None, **more: object) -> None:
    """Let ``method`` show the signature and the type hints of ``original``, or the signature ``shown``."""
    method.__doc__ = original.__doc__ or method.__doc__
    method.__signature__ = shown or signature(original)
    # What resolves type hints looks at these, and resolves names where the original was written.
    method.__annotations__ = {**original.__annotations__, **more}
    method.__wrapped__ = original


def _with_guard(original: Any) -> Signature:
    """The signature of ``original`` with ``guard`` among its keywords."""
    shown = signature(original)
    parameters = list(shown.parameters.values())
    kinds = [parameter.kind for parameter in parameters]
    place = kinds.index(Parameter.VAR_KEYWORD) if Parameter.VAR_KEYWORD in kinds else len(parameters)
    return shown.replace(parameters=[*parameters[:place], _GUARD, *parameters[place:]])
