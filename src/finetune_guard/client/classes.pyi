# The clients as type checkers see them: the SDK's own, whose constructors also take ``guard``. A checker
# can't derive that from the parent, so the parameters of the newest release stand here; a test holds
# them against it.

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2
import openai
from openai import NotGiven, Timeout
from openai._client import DataResidency, WorkloadIdentity, X509WorkloadIdentity, _Provider
from openai.lib.azure import AsyncAzureADTokenProvider, AzureADTokenProvider
from typing_extensions import Self

from finetune_guard.client.guard_api import AsyncClientGuard, ClientGuard
from finetune_guard.config import GuardConfig

class OpenAI(openai.OpenAI):
    def __init__(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_key: str | Callable[[], str] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        provider: _Provider | None = ...,
        base_url: str | httpx2.URL | None | NotGiven = ...,
        data_residency: DataResidency | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        max_retries: int = ...,
        default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        http_client: httpx2.Client | None = ...,
        _strict_response_validation: bool = ...,
        _enforce_credentials: bool = ...,
    ) -> None: ...
    def copy(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_key: str | Callable[[], str] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        provider: _Provider | None | NotGiven = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        base_url: str | httpx2.URL | None | NotGiven = ...,
        data_residency: DataResidency | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        http_client: httpx2.Client | None = ...,
        max_retries: int | NotGiven = ...,
        default_headers: Mapping[str, str] | None = ...,
        set_default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        set_default_query: Mapping[str, object] | None = ...,
        _enforce_credentials: bool | None = ...,
        _extra_kwargs: Mapping[str, Any] = ...,
    ) -> Self: ...
    with_options = copy
    @property
    def guard(self) -> ClientGuard: ...

class AsyncOpenAI(openai.AsyncOpenAI):
    def __init__(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_key: str | Callable[[], Awaitable[str]] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        provider: _Provider | None = ...,
        base_url: str | httpx2.URL | None | NotGiven = ...,
        data_residency: DataResidency | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        max_retries: int = ...,
        default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        http_client: httpx2.AsyncClient | None = ...,
        _strict_response_validation: bool = ...,
        _enforce_credentials: bool = ...,
    ) -> None: ...
    def copy(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_key: str | Callable[[], Awaitable[str]] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        provider: _Provider | None | NotGiven = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        base_url: str | httpx2.URL | None | NotGiven = ...,
        data_residency: DataResidency | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        http_client: httpx2.AsyncClient | None = ...,
        max_retries: int | NotGiven = ...,
        default_headers: Mapping[str, str] | None = ...,
        set_default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        set_default_query: Mapping[str, object] | None = ...,
        _enforce_credentials: bool | None = ...,
        _extra_kwargs: Mapping[str, Any] = ...,
    ) -> Self: ...
    with_options = copy
    @property
    def guard(self) -> AsyncClientGuard: ...

class AzureOpenAI(OpenAI, openai.AzureOpenAI):
    def __init__(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_version: str | None = ...,
        azure_endpoint: str | None = ...,
        azure_deployment: str | None = ...,
        api_key: str | Callable[[], str] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        azure_ad_token: str | None = ...,
        azure_ad_token_provider: AzureADTokenProvider | None = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        base_url: str | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        max_retries: int = ...,
        default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        http_client: httpx2.Client | None = ...,
        _strict_response_validation: bool = ...,
        _enforce_credentials: bool = ...,
    ) -> None: ...
    def copy(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_key: str | Callable[[], str] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        provider: _Provider | None | NotGiven = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        api_version: str | None = ...,
        azure_ad_token: str | None = ...,
        azure_ad_token_provider: AzureADTokenProvider | None = ...,
        base_url: str | httpx2.URL | None | NotGiven = ...,
        data_residency: DataResidency | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        http_client: httpx2.Client | None = ...,
        max_retries: int | NotGiven = ...,
        default_headers: Mapping[str, str] | None = ...,
        set_default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        set_default_query: Mapping[str, object] | None = ...,
        _enforce_credentials: bool | None = ...,
        _extra_kwargs: Mapping[str, Any] = ...,
    ) -> Self: ...
    with_options = copy

class AsyncAzureOpenAI(AsyncOpenAI, openai.AsyncAzureOpenAI):
    def __init__(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_version: str | None = ...,
        azure_endpoint: str | None = ...,
        azure_deployment: str | None = ...,
        api_key: str | Callable[[], Awaitable[str]] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        azure_ad_token: str | None = ...,
        azure_ad_token_provider: AsyncAzureADTokenProvider | None = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        base_url: str | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        max_retries: int = ...,
        default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        http_client: httpx2.AsyncClient | None = ...,
        _strict_response_validation: bool = ...,
        _enforce_credentials: bool = ...,
    ) -> None: ...
    def copy(
        self,
        *,
        guard: GuardConfig | None = ...,
        api_key: str | Callable[[], Awaitable[str]] | None = ...,
        admin_api_key: str | None = ...,
        workload_identity: WorkloadIdentity | X509WorkloadIdentity | None = ...,
        provider: _Provider | None | NotGiven = ...,
        organization: str | None = ...,
        project: str | None = ...,
        webhook_secret: str | None = ...,
        websocket_base_url: str | httpx2.URL | None = ...,
        api_version: str | None = ...,
        azure_ad_token: str | None = ...,
        azure_ad_token_provider: AsyncAzureADTokenProvider | None = ...,
        base_url: str | httpx2.URL | None | NotGiven = ...,
        data_residency: DataResidency | None = ...,
        timeout: float | Timeout | None | NotGiven = ...,
        http_client: httpx2.AsyncClient | None = ...,
        max_retries: int | NotGiven = ...,
        default_headers: Mapping[str, str] | None = ...,
        set_default_headers: Mapping[str, str] | None = ...,
        default_query: Mapping[str, object] | None = ...,
        set_default_query: Mapping[str, object] | None = ...,
        _enforce_credentials: bool | None = ...,
        _extra_kwargs: Mapping[str, Any] = ...,
    ) -> Self: ...
    with_options = copy

Client = OpenAI
AsyncClient = AsyncOpenAI

def class_of_instances(public: type[Any]) -> type[Any] | None: ...
