"""Copying a client's attributes, so that resources and patches of the copy call the copy.

What a client holds can lead back to it: the SDK's resources, a resource that a subclass has put in their
place, a tracer's function around ``client.chat.completions.create`` or ``client.request``. Everything on
a way that leads back is copied with the new client in the place of the old one. Everything else is shared.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

_ATOMS = (
    *(type(None), bool, int, float, complex, str, bytes, bytearray, type, types.ModuleType),
    *(types.CodeType, types.FrameType, types.TracebackType),
    *(types.BuiltinFunctionType, types.CoroutineType, types.GeneratorType),
)
"""Kinds of objects that are never looked into."""

_MACHINERY = frozenset(
    (
        *("_asyncio", "_contextvars", "_queue", "_thread", "_weakref", "asyncio", "concurrent"),
        *("contextvars", "logging", "queue", "socket", "ssl", "threading", "weakref"),
    )
)
"""Modules whose objects reach the whole program, and are no part of a client."""

_MOST_OBJECTS = 200_000


class NotCopyableError(Exception):
    """Something that leads back to the client can't be copied; the text says where it is and what."""


def rebound(original: Any, replacement: Any, shared: tuple[object, ...]) -> dict[str, Any]:
    """Return the attributes of ``original`` for ``replacement``, to which they lead in its place.

    Args:
        original: The client that holds them.
        replacement: The client that they are for.
        shared: What both hold, whatever it leads to, such as their HTTP client.

    Raises:
        NotCopyableError: Something on a way back can't be copied, or there is too much to look through.
    """
    copies = _Copies(original, replacement, shared)
    return {name: copies.of(value) for name, value in vars(original).items()}


class _Copies:
    """Copies of what leads back to a client, each made once."""

    def __init__(self, original: Any, replacement: Any, shared: tuple[object, ...]) -> None:
        self._original = original
        self._made: dict[int, Any] = {id(original): replacement}
        self._reached: dict[int, object] = {id(original): original}  # held, so that no id is used twice
        self._places: dict[int, tuple[int, str]] = {}
        holders = self._look_through({id(each) for each in shared})
        self._leading, to_do = {id(original)}, [id(original)]
        while to_do:
            new = [each for each in holders.get(to_do.pop(), ()) if each not in self._leading]
            self._leading.update(new)
            to_do.extend(new)

    def _look_through(self, left_out: set[int]) -> dict[int, list[int]]:
        """Note all that can be reached; return what holds each of it."""
        holders: dict[int, list[int]] = {}
        to_do = deque([self._original])
        while to_do:
            holder = to_do.popleft()
            for name, part in _parts(holder):
                if issubclass(type(part), _ATOMS) or id(part) in left_out:
                    continue
                holders.setdefault(id(part), []).append(id(holder))
                if id(part) not in self._reached:
                    self._reached[id(part)] = part
                    self._places[id(part)] = id(holder), name
                    to_do.append(part)
            if len(self._reached) > _MOST_OBJECTS:
                raise NotCopyableError(f"it holds more than {_MOST_OBJECTS:,} objects")
        return holders

    def _place(self, value: object) -> str:
        """Return where ``value`` is, as one would write it: ``.chat.completions.create``."""
        names, at = "", id(value)
        while at in self._places:
            at, name = self._places[at]
            names = name + names
        return names

    def of(self, value: Any) -> Any:
        if id(value) not in self._leading:
            return value
        if id(value) not in self._made:
            kind = type(value)
            wrapt = sys.modules.get("wrapt")
            if kind in self._copiers:
                self._copiers[kind](self, value)
            elif _is_plain(kind):
                self._plain_object(value)
            elif kind is getattr(wrapt, "FunctionWrapper", None):
                self._wrapt_function(value)
            elif kind is getattr(wrapt, "BoundFunctionWrapper", None):
                self._wrapt_method(value)
            else:
                name = f"{kind.__module__}.{kind.__qualname__}"
                raise NotCopyableError(f"{self._place(value)} is of type {name}")
        return self._made[id(value)]

    def _note(self, value: object, copy: Any) -> Any:
        """Note ``copy``: before it is filled if it can be filled later, since a part can hold ``value``."""
        return self._made.setdefault(id(value), copy)

    def _dict(self, value: dict[Any, Any]) -> None:
        copy = self._note(value, {})
        copy.update({key: self.of(part) for key, part in value.items()})

    def _list(self, value: list[Any]) -> None:
        copy = self._note(value, [])
        copy.extend(self.of(part) for part in value)

    def _tuple(self, value: tuple[Any, ...]) -> None:
        self._note(value, tuple(self.of(part) for part in value))

    def _cell(self, value: types.CellType) -> None:
        self._note(value, types.CellType()).cell_contents = self.of(value.cell_contents)

    def _partial(self, value: functools.partial[Any]) -> None:
        keywords = {name: self.of(part) for name, part in value.keywords.items()}
        arguments = (self.of(part) for part in value.args)
        copy = self._note(value, functools.partial(self.of(value.func), *arguments, **keywords))
        vars(copy).update({name: self.of(part) for name, part in vars(value).items()})

    def _method(self, value: types.MethodType) -> None:
        owner, function = self.of(value.__self__), value.__func__
        name = getattr(function, "__name__", "")
        if value.__self__ is self._original and getattr(type(self._original), name, None) is function:
            self._note(value, getattr(type(owner), name).__get__(owner))  # the guarded class's own
        else:
            self._note(value, types.MethodType(self.of(function), owner))

    def _function(self, value: types.FunctionType) -> None:
        for name, part in _globals_of(value).items():
            if id(part) in self._leading:
                raise NotCopyableError(
                    f"{self._place(value)} uses the global {name!r}, which leads to the client"
                )
        closure = tuple(self.of(cell) for cell in value.__closure__ or ())
        defaults = tuple(self.of(part) for part in value.__defaults__ or ())
        copy = types.FunctionType(
            value.__code__, value.__globals__, value.__name__, defaults or None, closure or None
        )
        if self._note(value, copy) is not copy:
            return  # a cell of its own held it, and has made the copy
        for name in ("__doc__", "__module__", "__qualname__", _ANNOTATIONS):
            setattr(copy, name, getattr(value, name))
        copy.__kwdefaults__ = {name: self.of(part) for name, part in (value.__kwdefaults__ or {}).items()}
        vars(copy).update({name: self.of(part) for name, part in vars(value).items()})

    def _plain_object(self, value: Any) -> None:
        copy = self._note(value, object.__new__(type(value)))
        _attributes(copy).update({name: self.of(part) for name, part in _attributes(value).items()})

    def _wrapt_function(self, value: Any) -> None:
        """Copy what many tracers put around a method; its constructor takes what its attributes hold."""
        function, wrapper = self.of(value.__wrapped__), self.of(value._self_wrapper)  # noqa: SLF001 -- wrapt's, since 1.10
        self._note(value, type(value)(function, wrapper, value._self_enabled))  # noqa: SLF001 -- too

    def _wrapt_method(self, value: Any) -> None:
        """Copy a method of a class that a tracer has wrapped, as it was got from an object."""
        instance = self.of(value._self_instance)  # noqa: SLF001 -- wrapt's, since 1.10
        self._note(value, value._self_parent.__get__(instance, type(instance)))  # noqa: SLF001 -- too

    _copiers: ClassVar[dict[type[Any], Callable[[_Copies, Any], None]]] = {
        dict: _dict,
        functools.partial: _partial,
        list: _list,
        tuple: _tuple,
        types.CellType: _cell,
        types.FunctionType: _function,
        types.MethodType: _method,
    }


_ANNOTATIONS = "__annotate__" if hasattr(types.FunctionType, "__annotate__") else "__annotations__"


def _parts(holder: Any) -> Iterator[tuple[str, object]]:
    """Yield what ``holder`` holds, each with its place in it as one would write it."""
    kind = type(holder)
    if kind is types.FunctionType:
        yield from _globals_of(holder).items()
        for value in (holder.__closure__, holder.__defaults__, holder.__kwdefaults__, vars(holder)):
            yield from _parts(value) if type(value) is dict else (("", each) for each in value or ())
    elif kind is dict:
        yield from (
            (f"[{key!r}]" if type(key) is str else "[...]", value) for key, value in list(holder.items())
        )
    elif kind in {list, tuple}:
        yield from ((f"[{index}]", value) for index, value in enumerate(list(holder)))
    elif str(kind.__module__).partition(".")[0] in _MACHINERY:
        return
    elif _is_plain(kind):
        yield from ((f".{name}", value) for name, value in list(_attributes(holder).items()))
    else:
        yield from (("", value) for value in gc.get_referents(holder))


def _globals_of(function: types.FunctionType) -> dict[str, object]:
    """Return the methods and the SDK's objects that ``function`` uses by a global name.

    Its other globals are everybody's, and not looked at.
    """
    used = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    return {
        name: value
        for name, value in used.items()
        if type(value) is types.MethodType
        or any(str(base.__module__).partition(".")[0] == "openai" for base in type(value).__mro__)
    }


def _attributes(holder: Any) -> dict[str, Any]:
    return object.__getattribute__(holder, "__dict__")  # type: ignore[no-any-return]  # a proxy would do more


def _is_plain(kind: type[Any]) -> bool:
    """Whether ``kind`` is written in Python and keeps all that its objects hold in their ``__dict__``."""
    return kind.__dictoffset__ != 0 and all(
        base.__flags__ & _MADE_AT_RUN_TIME
        and not vars(base).get("__slots__")
        and not isinstance(vars(base).get("__new__"), types.BuiltinFunctionType)
        for base in kind.__mro__[:-1]
    )


_MADE_AT_RUN_TIME = 1 << 9
"""The flag of classes that a ``class`` statement makes (``Py_TPFLAGS_HEAPTYPE``), and a few others."""
