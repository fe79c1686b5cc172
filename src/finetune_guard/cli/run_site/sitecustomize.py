"""Run at the start of each Python under ``finetune-guard run``: install the guard once openai is imported.

Python imports ``sitecustomize`` before the program. Nothing else is imported, and nothing done, until the
program imports ``openai`` or this package; a Python that can't import finetune_guard goes on without it.
"""  # noqa: INP001 -- Python looks for it in a folder

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any


class _InstallAfterImport:
    """Finds ``openai`` and ``finetune_guard`` as Python would, and installs the guard after ``openai``."""

    @classmethod
    def find_spec(cls, name: str, _path: object = None, _target: object = None) -> "ModuleSpec | None":
        if name not in {"openai", "finetune_guard"}:
            return None
        sys.meta_path.remove(cls)
        spec = find_spec(name)
        loader: Any = spec and spec.loader
        if loader is not None:

            def execute_and_install(module: ModuleType) -> None:
                del loader.exec_module  # from here on it is the class's own again
                loader.exec_module(module)
                _install()

            loader.exec_module = execute_and_install
        return spec


def _install() -> None:
    """Install the guard; if that fails, warn and let the program run without it."""
    try:
        from finetune_guard import install  # noqa: PLC0415 -- only programs that import openai need it

        install()
    except Exception as error:  # noqa: BLE001 -- our failure must not be the program's
        if getattr(error, "name", None) != "finetune_guard":  # else it is another environment's Python
            sys.stderr.write(f"finetune-guard is not at work: {error!r}\n")


def _run_hidden_sitecustomize() -> None:
    """Run the ``sitecustomize`` that Python would have found without this one."""
    here = str(Path(__file__).parent)
    sys.path[:] = [folder for folder in sys.path if folder != here]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None and spec.loader is not None:
        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


sys.meta_path.insert(0, _InstallAfterImport)
_run_hidden_sitecustomize()
