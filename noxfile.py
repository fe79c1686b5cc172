"""The checks of the project: ``uv run nox`` runs those of every change, and ``.ci/run`` all of them.

The tests run against the built wheel, so that what is published is what was tested.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = (
    False  # the versions that are here are tested, and the others named
)

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
MAIN_PYTHON = "3.11"
OLDEST_PYTHON = PYTHONS[0]
PRESENT_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
nox.options.sessions = ("lint", "typing", "docs", "coverage", f"tests-{PRESENT_PYTHON}")

OPENAI_MILESTONES = ("1.109.1", "2.54.0", "newest")
"""Releases of the SDK besides the oldest, which ``lowest`` tests, and the locked one, as in ``tests``."""

NOT_WITH_EVERY_OPENAI = (
    "tests/cli",
    "tests/domain",
    "tests/openai_api",
    "tests/recording",
    "tests/rules",
    "tests/examples",
    "tests/fleet",
    "tests/simulator",
    "tests/stores",
)
"""The tests that never go through the SDK, or for which its oldest and its locked release are enough."""

FRAMEWORKS = (
    "braintrust",
    "instructor",
    "langchain-openai",
    "langfuse",
    "langsmith",
    "litellm",
    "llama-index-llms-openai",
    "logfire",
    "openai<3",  # litellm, llama-index-llms-openai and openai-agents don't take 3 yet
    "openai-agents",
    "openinference-instrumentation-openai",
    "opentelemetry-instrumentation-openai",
    "opentelemetry-instrumentation-openai-v2<2.4",  # 2.4b0 imports what no release has
    "opik",
    "posthog",
    "pydantic-ai-slim[openai]",
    "sentry-sdk",
    "wrapt<2",  # opentelemetry-instrumentation-openai-v2 calls it as it was before
)
"""What tests/integrations try; they skip what isn't installed."""

PURE_TESTS = ("tests/domain", "tests/openai_api", "tests/recording", "tests/rules")
"""The tests that reach every branch of the modules that decide."""

MATRIX_TESTS = "not slow or matrix"
"""The tests that run on every Python and with every release of the dependencies."""


def _switch_pyenv_on() -> None:
    """Let pyenv's shims answer for every version that it has, not just for the selected one."""
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return
    listed = subprocess.run([pyenv, "versions", "--bare"], capture_output=True, text=True, check=False)
    selected = os.environ.get("PYENV_VERSION", "").split(":")  # a shim that started this has set it
    every = dict.fromkeys([*selected, *listed.stdout.split()])
    os.environ["PYENV_VERSION"] = ":".join(filter(None, every))


_switch_pyenv_on()


@functools.cache
def _wheel() -> str:
    """Build the wheel, once for all sessions."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="finetune-guard-wheel-"))
    subprocess.run(["uv", "build", "--quiet", "--wheel", "--out-dir", str(folder)], check=True)
    (wheel,) = folder.glob("*.whl")
    return str(wheel)


def _install_locked(session: nox.Session, *groups: str, editable: bool = False) -> None:
    """Install the locked dependencies and ``groups``; the package itself as the wheel or from the sources."""
    session.run_install(
        "uv",
        "sync",
        "--locked",
        "--quiet",
        "--no-default-groups",
        *(f"--group={group}" for group in groups),
        *([] if editable else ["--no-install-project"]),
        f"--python={session.virtualenv.location}",
        env={"UV_PROJECT_ENVIRONMENT": session.virtualenv.location},
    )
    if not editable:
        session.install("--no-deps", "--reinstall-package=finetune-guard", _wheel())


def _pytest(session: nox.Session, *arguments: str, marks: str = MATRIX_TESTS, effort: str = "0.25") -> None:
    """Run the tests with these marks, two on each core, since half of one is waiting.

    Args:
        session: Where they run.
        arguments: What pytest is given; posargs replace it.
        marks: An expression of marks; "" takes every test.
        effort: The share of random examples that are tried. What differs between sessions is not chance.
    """
    workers = str(2 * (os.cpu_count() or 1))
    session.run(
        *("pytest", "-n", workers, "--timeout=300", "-m", marks),
        *(session.posargs or arguments),
        env={"TEST_EFFORT": effort},
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the import contracts."""
    _install_locked(session, "lint", editable=True)
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types: the sources, and what users' type checkers make of the public names."""
    _install_locked(session, "test", "typing", "docs", editable=True)
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's pages; every warning is an error, and nothing is fetched."""
    _install_locked(session, "docs", "test", editable=True)
    pages = session.posargs[0] if session.posargs else f"{session.create_tmp()}/html"
    session.run("sphinx-build", "-q", "-E", "-n", "-W", "--keep-going", "-b", "html", "docs", pages)


@nox.session
def coverage(session: nox.Session) -> None:
    """Hold the branch coverage of the modules that decide at 100 %, by the tests of those floors alone."""
    _install_locked(session, "test", editable=True)
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", "-n0", *PURE_TESTS)
    session.run("coverage", "report")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the locked dependencies; on the present Python the slow ones, too."""
    _install_locked(session, "test")
    if session.python == PRESENT_PYTHON:
        _pytest(session, marks="", effort="1")
    else:
        _pytest(session)


@nox.session(python=OLDEST_PYTHON)
def lowest(session: nox.Session) -> None:
    """Run the tests with the oldest release of each dependency that pyproject.toml allows."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    _install_locked(session, "test")
    session.install(
        "--upgrade",
        "--resolution=lowest-direct",
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    )
    _pytest(
        session, "--ignore=tests/simulator", "--ignore=tests/integrations"
    )  # it is asked for more than the oldest SDK can ask


@nox.session(python=MAIN_PYTHON)
@nox.parametrize("openai", OPENAI_MILESTONES)
def openai(session: nox.Session, openai: str) -> None:
    """Run the tests that go through the SDK with other releases of it than the locked one."""
    _install_locked(session, "test")
    locked = _version(session, "openai")
    if openai == "newest":
        session.install("--upgrade", "openai")
        if _version(session, "openai") == locked:
            session.skip(f"openai {locked} is the newest release, and what the session 'tests' runs with")
    else:
        session.install(f"openai=={openai}")
    _pytest(session, *(f"--ignore={folder}" for folder in NOT_WITH_EVERY_OPENAI))


@nox.session(python=MAIN_PYTHON)
def integrations(session: nox.Session) -> None:
    """Run other people's frameworks and tracers on our clients, with a release of openai that suits all."""
    _install_locked(session, "test")
    session.install("--upgrade", *FRAMEWORKS)
    _pytest(session, "tests/integrations", marks="")


def _version(session: nox.Session, package: str) -> str:
    paths = pathlib.Path(session.virtualenv.location).glob("lib/python*/site-packages")
    found = importlib.metadata.distributions(name=package, path=[str(path) for path in paths])
    return next(iter(found)).version


@nox.session(python=MAIN_PYTHON, default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure what the guard costs; ``-- --write`` puts the table into docs/benchmarks.md."""
    _install_locked(session, "test")
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(python=MAIN_PYTHON, default=False)
def faults(session: nox.Session) -> None:
    """Break our own parts one by one; ``-- --write`` puts what came of it into docs/faults.md."""
    _install_locked(session, "test")
    session.run("python", "faults/run.py", *session.posargs)


@nox.session(python=MAIN_PYTHON, default=False)
def fuzz(session: nox.Session) -> None:
    """Let atheris look for input that breaks a promise; ``-- NAME --seconds 300`` takes one for longer."""
    _install_locked(session, "test")
    session.install("atheris>=3")
    session.run("python", "fuzz/run.py", *session.posargs)
