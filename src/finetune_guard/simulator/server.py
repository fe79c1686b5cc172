"""The simulator: a real HTTP server in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from finetune_guard.domain.catalog import ModelCatalog, published_catalog
from finetune_guard.domain.model_ids import FineTunedModel
from finetune_guard.domain.policy import OPENAI_SELF_SERVE, AccessPolicy
from finetune_guard.simulator.access import Rollover
from finetune_guard.simulator.app import RequestHandler, build
from finetune_guard.simulator.azure import AzureProvider, SimulatedAzure
from finetune_guard.simulator.batches import COMPLETION_WINDOW
from finetune_guard.simulator.clock import SimulatedClock
from finetune_guard.simulator.control import ServedCall
from finetune_guard.simulator.faults import Fault, FaultQueue
from finetune_guard.simulator.organizations import Account, Organization
from finetune_guard.simulator.provider import Provider, Settings
from finetune_guard.simulator.serving import Connections, ServingThread
from finetune_guard.simulator.settling import settle

if TYPE_CHECKING:
    from typing_extensions import Self

DEFAULT_SLUG = "acme-28gund"
DEFAULT_API_KEY = "sk-simulated-acme"  # not a secret: only the simulator accepts it
DEFAULT_ADMIN_KEY = "sk-simulated-acme-admin"  # not a secret either
_MAX_CALLS = 100_000  # older ones are dropped


class Simulator:
    """An HTTP server that behaves as OpenAI's API does under the wind-down policy.

    It enforces the policy for each organization when fine-tuning jobs are created, by the simulated
    clock. Use it as a context manager, or call ``start`` and ``stop``. It keeps files, including those
    of batches, in memory, but no other prompts or completions and no unknown keys. Every method is
    thread-safe. ``azure`` adds Azure OpenAI resources under the same address.

    Args:
        clock: The simulated clock; if omitted, one that is stopped at the current time.
        policy: The rules to enforce.
        port: The TCP port; 0 for any free one. A second ``start`` uses the same port again.
        interface: The address to listen on.
        rollover: When a published date takes effect: at 00:00 in a time zone, or a time span after
            00:00 UTC.
        job_duration: How long a fine-tuning job takes, in simulated time.
        batch_duration: How long a batch takes, in simulated time; at most its completion window, 24 hours.
        usage_lag: The delay until a request appears in the organization's usage; OpenAI's delay is
            unknown.
        strip_headers: Whether to leave out the ``openai-*`` response headers, as some gateways do.
        models: Fine-tuned models that the default organization owns: their ids, or base models.
        admin_key: The default organization's admin key; omitted, it has none.
        catalog: The base models and their shutdown dates.
        fine_tunes_carry_shutdown_date: Whether ``GET /models`` shows the date of fine-tuned models,
            too; whether OpenAI's does is unknown.

    Raises:
        ValueError: ``batch_duration``, ``usage_lag`` or ``admin_key`` is not valid.
    """

    def __init__(
        self,
        *,
        clock: SimulatedClock | None = None,
        policy: AccessPolicy = OPENAI_SELF_SERVE,
        port: int = 0,
        interface: str = "127.0.0.1",
        rollover: Rollover = timezone.utc,
        job_duration: timedelta = timedelta(minutes=30),
        batch_duration: timedelta = timedelta(minutes=10),
        usage_lag: timedelta = timedelta(0),
        strip_headers: bool = False,
        models: Iterable[str] = (),
        admin_key: str | None = None,
        catalog: ModelCatalog | None = None,
        fine_tunes_carry_shutdown_date: bool = False,
    ) -> None:
        if not timedelta(0) <= batch_duration <= COMPLETION_WINDOW:
            raise ValueError(f"batch_duration must be from 0 to 24 hours, not {batch_duration!r}")
        if usage_lag < timedelta(0):
            raise ValueError(f"usage_lag must not be negative: {usage_lag!r}")
        self.clock = clock if clock is not None else SimulatedClock()
        self._interface = interface
        self._port = port
        self._strip_headers = strip_headers
        self._provider = Provider(
            self.clock,
            Settings(
                policy=policy,
                catalog=catalog if catalog is not None else published_catalog(),
                rollover=rollover,
                job_duration=job_duration,
                batch_duration=batch_duration,
                usage_lag=usage_lag,
                fine_tunes_carry_shutdown_date=fine_tunes_carry_shutdown_date,
            ),
        )
        self.azure = SimulatedAzure(
            AzureProvider(self.clock, self._provider.settings, lock=self._provider.lock), lambda: self.host
        )
        self._faults = FaultQueue()
        self._log: deque[ServedCall] = deque(maxlen=_MAX_CALLS)
        self._serving: ServingThread | None = None
        self._default = self.add_organization(
            slug=DEFAULT_SLUG,
            api_key=DEFAULT_API_KEY,
            fine_tuned_before=True,
            models=models,
            admin_key=admin_key,
        )

    def start(self) -> Self:
        """Start the server and return the simulator, ready for calls.

        Raises:
            OSError: The port is not available.
            RuntimeError: It is running already.
        """
        if self._serving is not None:
            raise RuntimeError("the simulator is running already")
        listener = socket.create_server((self._interface, self._port))
        self._port = listener.getsockname()[1]
        serving = ServingThread(self._application, listener)
        serving.start()
        self._serving = serving
        return self

    def stop(self) -> None:
        """Stop the server and close its connections, if it is running."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port; 0 before the first ``start`` if none was given."""
        return self._port

    @property
    def host(self) -> str:
        """The address and port, ``ADDRESS:PORT``."""
        reachable = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1"}.get(self._interface, self._interface)  # noqa: S104 # the address to connect to
        return f"{reachable}:{self._port}"

    @property
    def base_url(self) -> str:
        """The ``base_url`` of a client."""
        return f"http://{self.host}/v1"

    def organization(self) -> Organization:
        """Return the default organization, which has fine-tuned before."""
        return self._default

    def add_organization(
        self,
        *,
        slug: str,
        api_key: str,
        fine_tuned_before: bool = False,
        models: Iterable[str] = (),
        admin_key: str | None = None,
    ) -> Organization:
        """Add an organization with one project.

        Args:
            slug: Its name in response headers.
            api_key: The project's key.
            fine_tuned_before: Whether it has fine-tuned before; always true with ``models``.
            models: Fine-tuned models that it owns: their ids, or base models to create ids for.
            admin_key: A key that can only read the organization's usage.

        Raises:
            ValueError: The slug or a key is empty or taken.
        """
        with self._provider.lock:
            account = self._provider.add_account(
                slug, api_key, fine_tuned_before=fine_tuned_before, admin_key=admin_key
            )
            for model in models:
                self._add_model(account, model, "", None)
            return account.organization

    def add_project(self, organization_slug: str, api_key: str) -> str:
        """Add a project to an organization and return its id, ``proj_…``.

        Calls with its key count for it, and their answers name it in the ``openai-project`` header.
        Models, files, jobs and batches belong to the whole organization.

        Args:
            organization_slug: The organization's slug.
            api_key: The project's key.

        Raises:
            ValueError: There is no such organization, or the key is empty or taken.
        """
        with self._provider.lock:
            account = self._provider.accounts.get(organization_slug)
            if account is None:
                raise ValueError(f"no organization has the slug {organization_slug!r}")
            return self._provider.add_project(account, api_key)

    def add_model(
        self,
        organization: Organization | None = None,
        *,
        base: str = "gpt-4o-mini-2024-07-18",
        suffix: str = "",
        created_at: datetime | None = None,
    ) -> str:
        """Give an organization a fine-tuned model, as if from an earlier job, and return its id.

        Args:
            organization: The owner; the default organization if omitted.
            base: The base model, or the full id of the fine-tuned model.
            suffix: The suffix in the id; only with a base model.
            created_at: When it was created; the clock's time if omitted.
        """
        with self._provider.lock:
            return self._add_model(self._account(organization), base, suffix, created_at)

    def _add_model(self, account: Account, base: str, suffix: str, created_at: datetime | None) -> str:
        created = created_at if created_at is not None else self.clock()
        if FineTunedModel.parse(base) is not None:
            return account.register_model(base, created)
        return account.add_model(base, suffix, created)

    def add_file(
        self,
        organization: Organization | None = None,
        *,
        content: bytes,
        repeated: int = 1,
        name: str = "train.jsonl",
    ) -> str:
        """Give an organization a training file, as if it had uploaded it, and return its id.

        Args:
            organization: The owner; the default organization if omitted.
            content: Its content.
            repeated: How many times the content is repeated, which takes no memory.
            name: Its name.
        """
        with self._provider.lock:
            account = self._account(organization)
            return account.add_file(name, "fine-tune", content, self.clock(), repeated).id

    def last_inference(self, organization: Organization | None = None) -> datetime | None:
        """Return the time of the latest inference on a fine-tuned model; None if there is none."""
        with self._provider.lock:
            account = self._account(organization)
            settle(self._provider, account, self.clock())
            return account.last_inference

    def _account(self, organization: Organization | None) -> Account:
        return self._provider.accounts[(organization or self._default).slug]

    @property
    def calls(self) -> tuple[ServedCall, ...]:
        """The API calls served so far, in order, without those under ``/_simulator``."""
        return tuple(self._log.copy())

    def clear_calls(self) -> None:
        """Clear ``calls``."""
        self._log.clear()

    def fault(self, fault: Fault) -> None:
        """Add a fault; if several apply to a call, the earliest comes first."""
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def _application(self, connections: Connections, stopping: asyncio.Event) -> ASGIApp:
        shared = self._provider, self.azure, self.clock, self._faults, self._log
        return build(RequestHandler(*shared, connections, stopping, self._strip_headers))
