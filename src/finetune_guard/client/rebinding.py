"""Copying a client's attributes, so that resources and patches of the copy call the copy.

A client's attributes can reference it: the SDK's resources, a subclass's own resource, a tracer's wrapper
around ``client.chat.completions.create`` or ``client.request``. Every object on a path back to the client is
copied, with references to the new client. Everything else is shared.
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
"""Types of objects that are never searched."""

_MACHINERY = frozenset(
    (
        *("_asyncio", "_contextvars", "_queue", "_thread", "_weakref", "asyncio", "concurrent"),
        *("contextvars", "logging", "queue", "socket", "ssl", "threading", "weakref"),
    )
)
"""Modules whose objects can reach the whole program; they are not part of a client."""

_MOST_OBJECTS = 200_000


class NotCopyableError(Exception):
    """An object that references the client can't be copied; the message says which and where."""


def rebound(original: Any, replacement: Any, shared: tuple[object, ...]) -> dict[str, Any]:
    """Return copies of the attributes of ``original`` that reference ``replacement`` instead.

    Both keep ``shared`` objects, such as their HTTP client, as they are.

    Raises:
        NotCopyableError: An object on a path back can't be copied, or there are too many objects.
    """
    copies = _Copies(original, replacement, shared)
    return {name: copies.copy_of(value) for name, value in vars(original).items()}


class _Copies:
    """Copies each object that references a client, once."""

    def __init__(self, original: Any, replacement: Any, shared: tuple[object, ...]) -> None:
        self._original = original
        self._copied: dict[int, Any] = {id(original): replacement}
        self._reached: dict[int, object] = {id(original): original}  # kept alive, so that no id is reused
        self._paths: dict[int, tuple[int, str]] = {}
        holders = self._find_holders({id(each) for each in shared})
        self._to_copy, queue = {id(original)}, [id(original)]
        while queue:
            new = [each for each in holders.get(queue.pop(), ()) if each not in self._to_copy]
            self._to_copy.update(new)
            queue.extend(new)

    def _find_holders(self, excluded: set[int]) -> dict[int, list[int]]:
        """Find every reachable object; return the ids of the holders of each."""
        holders: dict[int, list[int]] = {}
        queue = deque([self._original])
        while queue:
            holder = queue.popleft()
            for name, part in _parts(holder):
                if issubclass(type(part), _ATOMS) or id(part) in excluded:
                    continue
                holders.setdefault(id(part), []).append(id(holder))
                if id(part) not in self._reached:
                    self._reached[id(part)] = part
                    self._paths[id(part)] = id(holder), name
                    queue.append(part)
            if len(self._reached) > _MOST_OBJECTS:
                raise NotCopyableError(f"it holds more than {_MOST_OBJECTS:,} objects")
        return holders

    def _path_of(self, value: object) -> str:
        """Return the path to ``value`` as Python code: ``.chat.completions.create``."""
        names, at = "", id(value)
        while at in self._paths:
            at, name = self._paths[at]
            names = name + names
        return names

    def copy_of(self, value: Any) -> Any:
        if id(value) not in self._to_copy:
            return value
        if id(value) not in self._copied:
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
                raise NotCopyableError(f"{self._path_of(value)} is of type {name}")
        return self._copied[id(value)]

    def _keep_copy(self, value: object, copy: Any) -> Any:
        """Store ``copy``, before it is filled if possible, since a part can reference ``value``."""
        return self._copied.setdefault(id(value), copy)

    def _dict(self, value: dict[Any, Any]) -> None:
        copy = self._keep_copy(value, {})
        copy.update({key: self.copy_of(part) for key, part in value.items()})

    def _list(self, value: list[Any]) -> None:
        copy = self._keep_copy(value, [])
        copy.extend(self.copy_of(part) for part in value)

    def _tuple(self, value: tuple[Any, ...]) -> None:
        self._keep_copy(value, tuple(self.copy_of(part) for part in value))

    def _cell(self, value: types.CellType) -> None:
        self._keep_copy(value, types.CellType()).cell_contents = self.copy_of(value.cell_contents)

    def _partial(self, value: functools.partial[Any]) -> None:
        keywords = {name: self.copy_of(part) for name, part in value.keywords.items()}
        arguments = (self.copy_of(part) for part in value.args)
        copy = self._keep_copy(value, functools.partial(self.copy_of(value.func), *arguments, **keywords))
        vars(copy).update({name: self.copy_of(part) for name, part in vars(value).items()})

    def _method(self, value: types.MethodType) -> None:
        owner, function = self.copy_of(value.__self__), value.__func__
        name = getattr(function, "__name__", "")
        if value.__self__ is self._original and getattr(type(self._original), name, None) is function:
            self._keep_copy(value, getattr(type(owner), name).__get__(owner))  # the guarded class's own
        else:
            self._keep_copy(value, types.MethodType(self.copy_of(function), owner))

    def _function(self, value: types.FunctionType) -> None:
        for name, part in _globals_of(value).items():
            if id(part) in self._to_copy:
                raise NotCopyableError(
                    f"{self._path_of(value)} uses the global {name!r}, which leads to the client"
                )
        closure = tuple(self.copy_of(cell) for cell in value.__closure__ or ())
        defaults = tuple(self.copy_of(part) for part in value.__defaults__ or ())
        copy = types.FunctionType(
            value.__code__, value.__globals__, value.__name__, defaults or None, closure or None
        )
        if self._keep_copy(value, copy) is not copy:
            return  # one of its own cells references it, and has made the copy
        for name in ("__doc__", "__module__", "__qualname__", _ANNOTATIONS):
            setattr(copy, name, getattr(value, name))
        copy.__kwdefaults__ = {
            name: self.copy_of(part) for name, part in (value.__kwdefaults__ or {}).items()
        }
        vars(copy).update({name: self.copy_of(part) for name, part in vars(value).items()})

    def _plain_object(self, value: Any) -> None:
        copy = self._keep_copy(value, object.__new__(type(value)))
        _attributes(copy).update({name: self.copy_of(part) for name, part in _attributes(value).items()})

    def _wrapt_function(self, value: Any) -> None:
        """Copy the wrapper that many tracers use, through its constructor."""
        function, wrapper = self.copy_of(value.__wrapped__), self.copy_of(value._self_wrapper)  # noqa: SLF001 -- wrapt's, since 1.10
        self._keep_copy(value, type(value)(function, wrapper, value._self_enabled))  # noqa: SLF001 -- too

    def _wrapt_method(self, value: Any) -> None:
        """Copy the bound method of a class that a tracer has wrapped."""
        instance = self.copy_of(value._self_instance)  # noqa: SLF001 -- wrapt's, since 1.10
        self._keep_copy(value, value._self_parent.__get__(instance, type(instance)))  # noqa: SLF001 -- too

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
    """Yield the objects that ``holder`` references, each with its path as Python code."""
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

    Its other globals are shared by the program, and not searched.
    """
    used = {name: function.__globals__.get(name) for name in function.__code__.co_names}
    return {
        name: value
        for name, value in used.items()
        if type(value) is types.MethodType
        or any(str(base.__module__).partition(".")[0] == "openai" for base in type(value).__mro__)
    }


def _attributes(holder: Any) -> dict[str, Any]:
    return object.__getattribute__(holder, "__dict__")  # type: ignore[no-any-return]  # a proxy may override it


def _is_plain(kind: type[Any]) -> bool:
    """Whether ``kind`` is a Python class whose instances keep their whole state in ``__dict__``."""
    return kind.__dictoffset__ != 0 and all(
        base.__flags__ & _MADE_AT_RUN_TIME
        and not vars(base).get("__slots__")
        and not isinstance(vars(base).get("__new__"), types.BuiltinFunctionType)
        for base in kind.__mro__[:-1]
    )


_MADE_AT_RUN_TIME = 1 << 9
"""The flag of classes created by a ``class`` statement, among others (``Py_TPFLAGS_HEAPTYPE``)."""
