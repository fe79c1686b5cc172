from __future__ import annotations

import openai
import pytest

from finetune_guard.simulator import Simulator
from tests.support.constants import START, TRAINING_DATA

ADMIN_KEY = "sk-simulated-admin"


@pytest.fixture
def sim(clock):
    with Simulator(clock=clock, admin_key=ADMIN_KEY) as simulator:
        yield simulator


@pytest.fixture
def connect():
    """Makes clients that validate every answer strictly, and closes them afterwards."""
    clients = []

    def make(simulator, organization=None, **options):
        key = (organization or simulator.organization()).api_key
        defaults = {"base_url": simulator.base_url, "api_key": key, "max_retries": 0}
        clients.append(openai.OpenAI(**{**defaults, "_strict_response_validation": True, **options}))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(sim, connect):
    return connect(sim)


@pytest.fixture
def globex(sim):
    """An organization that has never fine-tuned."""
    return sim.add_organization(slug="globex-77", api_key="sk-simulated-globex", admin_key="sk-admin-globex")


@pytest.fixture
def globex_client(sim, connect, globex):
    return connect(sim, globex)


@pytest.fixture
def upload():
    def create(client, content=TRAINING_DATA, purpose="fine-tune"):
        return client.files.create(file=("data.jsonl", content), purpose=purpose).id

    return create


@pytest.fixture
def begin_upload(client):
    def begin(size=3):
        return client.uploads.create(
            bytes=size, filename="t.jsonl", mime_type="application/jsonl", purpose="fine-tune"
        )

    return begin


@pytest.fixture
def training_file(client, upload):
    return upload(client)


@pytest.fixture
def ask(sim, connect):
    """Reads the usage with the admin key and a query."""
    admin = connect(sim, api_key=ADMIN_KEY)

    def read(**query):
        params = {"start_time": int(START.timestamp()), **query}
        return admin.get("/organization/usage/completions", cast_to=object, options={"params": params})

    return read
