"""Work in a forked child, and what it gives back."""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def in_child(work: Callable[[], _T]) -> _T:
    """Return what ``work`` returns in a forked child; nothing it did to its process outlives it.

    Raises:
        RuntimeError: It failed; its traceback was printed.
    """
    return begin(work)()


def begin(work: Callable[[], _T], *, ending: str = "at once") -> Callable[[], _T]:
    """Begin ``work`` in a forked child; return what waits for it.

    Args:
        work: What it does.
        ending: ``"at once"``, or ``"exit"``: as an interpreter does, with what was registered for its exit.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            if ending == "exit":
                atexit._run_exitfuncs()  # what sys.exit ends in; here it would unwind the parent's frames
            status = 0
        except BaseException:  # noqa: BLE001 -- a child must not go on as if it were its parent
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(writing)

    def wait() -> _T:
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if status or not said:
            raise RuntimeError(f"a child ended with {os.waitstatus_to_exitcode(status)}")
        result: _T = pickle.loads(said)
        return result

    return wait
