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
from typing_extensions import Self, TypedDict, Unpack

from finetune_guard.client.guard_api import AsyncClientGuard, ClientGuard
from finetune_guard.config import GuardConfig

class _Options(TypedDict, total=False):
    guard: GuardConfig | None
    admin_api_key: str | None
    workload_identity: WorkloadIdentity | X509WorkloadIdentity | None
    organization: str | None
    project: str | None
    webhook_secret: str | None
    websocket_base_url: str | httpx2.URL | None
    timeout: float | Timeout | None | NotGiven
    default_headers: Mapping[str, str] | None
    default_query: Mapping[str, object] | None

class _Sync(TypedDict, total=False):
    api_key: str | Callable[[], str] | None
    http_client: httpx2.Client | None

class _Async(TypedDict, total=False):
    api_key: str | Callable[[], Awaitable[str]] | None
    http_client: httpx2.AsyncClient | None

class _New(_Options, total=False):
    max_retries: int
    _strict_response_validation: bool
    _enforce_credentials: bool

class _NewOpenAI(_New, total=False):
    provider: _Provider | None
    base_url: str | httpx2.URL | None | NotGiven
    data_residency: DataResidency | None

class _NewAzure(_New, total=False):
    api_version: str | None
    azure_endpoint: str | None
    azure_deployment: str | None
    azure_ad_token: str | None
    base_url: str | None

class _Copy(_Options, total=False):
    provider: _Provider | None | NotGiven
    base_url: str | httpx2.URL | None | NotGiven
    data_residency: DataResidency | None
    max_retries: int | NotGiven
    set_default_headers: Mapping[str, str] | None
    set_default_query: Mapping[str, object] | None
    _enforce_credentials: bool | None
    _extra_kwargs: Mapping[str, Any]

class _CopyAzure(_Copy, total=False):
    api_version: str | None
    azure_ad_token: str | None

class _SyncTokens(TypedDict, total=False):
    azure_ad_token_provider: AzureADTokenProvider | None

class _AsyncTokens(TypedDict, total=False):
    azure_ad_token_provider: AsyncAzureADTokenProvider | None

class _NewSync(_NewOpenAI, _Sync): ...
class _NewAsync(_NewOpenAI, _Async): ...
class _NewAzureSync(_NewAzure, _Sync, _SyncTokens): ...
class _NewAzureAsync(_NewAzure, _Async, _AsyncTokens): ...
class _CopySync(_Copy, _Sync): ...
class _CopyAsync(_Copy, _Async): ...
class _CopyAzureSync(_CopyAzure, _Sync, _SyncTokens): ...
class _CopyAzureAsync(_CopyAzure, _Async, _AsyncTokens): ...

class OpenAI(openai.OpenAI):
    def __init__(self, **options: Unpack[_NewSync]) -> None: ...
    def copy(self, **options: Unpack[_CopySync]) -> Self: ...
    with_options = copy
    @property
    def guard(self) -> ClientGuard: ...

class AsyncOpenAI(openai.AsyncOpenAI):
    def __init__(self, **options: Unpack[_NewAsync]) -> None: ...
    def copy(self, **options: Unpack[_CopyAsync]) -> Self: ...
    with_options = copy
    @property
    def guard(self) -> AsyncClientGuard: ...

class AzureOpenAI(OpenAI, openai.AzureOpenAI):
    def __init__(self, **options: Unpack[_NewAzureSync]) -> None: ...
    def copy(self, **options: Unpack[_CopyAzureSync]) -> Self: ...
    with_options = copy

class AsyncAzureOpenAI(AsyncOpenAI, openai.AsyncAzureOpenAI):
    def __init__(self, **options: Unpack[_NewAzureAsync]) -> None: ...
    def copy(self, **options: Unpack[_CopyAzureAsync]) -> Self: ...
    with_options = copy

Client = OpenAI
AsyncClient = AsyncOpenAI

def class_of_instances(public: type[Any]) -> type[Any] | None: ...
def show_parent_parameters(cls: type[Any]) -> Any: ...
