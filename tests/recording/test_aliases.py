"""One organization, one history, whatever it is called; and never a word about one in another's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_guard.domain.facts import Activity, Inference, Source
from finetune_guard.domain.organizations import Credentials
from finetune_guard.recording.aliases import Aliases, resolved
from finetune_guard.recording.notes import Subject
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from tests.effort import some

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
KEY, OTHER_KEY = Credentials("Bearer sk-1"), Credentials("Bearer sk-2")
ACME, GLOBEX = "org-Acme", "org-Globex"


def model(name: str) -> str:
    return f"ft:gpt-4o-mini-2024-07-18:{name}::AbC123xY"


def claiming(own_id: str, key: Credentials = KEY) -> Credentials:
    """What a client sends that is made with ``organization=own_id``."""
    return key._replace(organization=own_id)


class Process:
    """One process that uses a store: it sees answers and writes what they tell."""

    def __init__(self, store) -> None:
        self.store = store
        self.aliases = Aliases(store)

    def sees(self, slug, credentials=KEY, *proven, runs=None):
        """Write what an answer tells, and the inference it was of, if any; return the history's name."""
        subject = Subject(slug, credentials)
        self.aliases.name(subject)
        name = self.aliases.write(subject, sorted(proven))
        if runs is not None:
            inference = Inference(organization=name, model=model(runs), at=NOON)
            self.store.record(name, [Activity(inference=inference, counts={NOON.date(): 1})])
        return name


def kept(store) -> dict[str, set[str]]:
    """Whose models each history holds."""
    return {
        name: {used.split(":")[2] for used in store.history(name).models} for name in store.organizations()
    }


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "history")


@pytest.fixture
def process(store):
    return Process(store)


def test_a_history_gets_a_better_name_twice(process, store):
    """What was kept for a key, then for an ``org-`` id, ends in the history that has the slug."""
    key_name = process.sees(None, runs="one")
    assert key_name.startswith("key:")
    assert ACME == process.sees(None, KEY, ACME, runs="two")
    assert {ACME: {"one", "two"}} == kept(store)
    assert "acme-1" == process.sees("acme-1", KEY, ACME, runs="three")
    assert {"acme-1": {"one", "two", "three"}} == kept(store)
    assert ["acme-1"] * 2 == [resolved(store, name) for name in (key_name, ACME)]


def test_an_organization_that_is_given_names_a_history_where_headers_are_stripped(process, store):
    """Behind a gateway that strips headers, keys with the same ``organization=`` share a history."""
    for key in (KEY, OTHER_KEY):
        assert ACME == process.sees(None, claiming(ACME, key), runs="one")
    assert {ACME: {"one"}} == kept(store)
    assert (ACME,) == process.aliases.names_of(claiming(ACME, Credentials("Bearer sk-3")))


def test_projects_are_names_of_the_organization(process, store):
    """A project that an answer names stands for its organization, also after that got a better name."""
    process.sees(None, KEY, "proj_One", runs="one")
    process.sees("acme-1", KEY, "proj_Two")
    assert ["acme-1"] * 2 == [resolved(store, name) for name in ("proj_One", "proj_Two")]


def test_another_process_knows_the_key(process, store):
    """What one process has learnt of a key is known to the next, without an answer of the API."""
    process.sees("acme-1", runs="one")
    again = Aliases(store)
    assert ("acme-1",) == again.names_of(KEY)
    assert again.answered(KEY) is None


def test_another_process_knows_the_organization_that_is_given(process, store):
    """A key never seen before belongs to the organization that it is used with, until an answer says more."""
    process.sees("acme-1", claiming(ACME), runs="one")
    again = Process(store)
    stranger = claiming(ACME, OTHER_KEY)
    assert ("acme-1",) == again.aliases.names_of(stranger)
    assert "globex-2" == again.sees("globex-2", stranger, runs="two")
    assert ("globex-2",) == Aliases(store).names_of(stranger)


def test_what_an_answer_says_of_a_key_outlives_the_process(process, store):
    """The slug that an answer gave a key is remembered for the key, whatever its header comes to mean."""
    process.sees("acme-1", claiming(ACME), runs="one")
    again = Process(store)
    newcomer = claiming(ACME, OTHER_KEY)
    again.aliases.names_of(newcomer)
    again.sees("acme-1", newcomer)
    process.sees("globex-2", claiming(ACME))  # a gateway that ignores the header
    assert ("acme-1",) == Aliases(store).names_of(newcomer)


# Renamed organizations.


@pytest.mark.parametrize("first", ["the job", "an inference"])
@pytest.mark.parametrize("credentials", [KEY, claiming(ACME)], ids=["key", "organization="])
def test_a_renamed_organization_keeps_its_history(process, store, first, credentials):
    """A job that names one id by a new slug joins both, whether or not the new slug was seen before."""
    process.sees("acme-1", credentials, ACME, runs="one")
    if first == "an inference":
        process.sees("umbrella-2", credentials, runs="two")
    assert "umbrella-2" == process.sees("umbrella-2", credentials, ACME, runs="three")
    assert {"one", "three"} | ({"two"} if first == "an inference" else set()) == kept(store)["umbrella-2"]
    assert ("umbrella-2",) == store.organizations()


@pytest.mark.parametrize("credentials", [KEY, claiming(ACME)], ids=["key", "organization="])
def test_an_organization_that_takes_its_old_name_again(process, store, credentials):
    """Names that change places leave one history, with the name that joined it, and no circle."""
    for slug, runs in (("acme-1", "one"), ("umbrella-2", "two"), ("acme-1", "three")):
        process.sees(slug, credentials, ACME, runs=runs)
    assert {"umbrella-2": {"one", "two", "three"}} == kept(store)
    assert ["umbrella-2"] * 2 == [resolved(store, name) for name in ("acme-1", "umbrella-2")]


def test_another_key_follows_a_renaming(process, store):
    """A key that only ever saw the old slug finds the history under the new one."""
    process.sees("acme-1", OTHER_KEY, runs="one")
    process.sees("acme-1", KEY, ACME)
    process.sees("umbrella-2", KEY, ACME, runs="two")
    assert ("umbrella-2",) == Aliases(store).names_of(OTHER_KEY)
    assert "umbrella-2" == process.sees("acme-1", OTHER_KEY, runs="late")
    assert {"umbrella-2": {"one", "two", "late"}} == kept(store)


def test_another_process_follows_a_renaming(store):
    """A process that cached the old slug finds the history under the new one."""
    recorder, elsewhere = Recorder(store), Process(store)
    elsewhere.sees("acme-1", KEY, ACME, runs="one")
    assert "acme-1" == recorder.evidence(KEY).organization
    elsewhere.sees("umbrella-2", KEY, ACME, runs="two")
    evidence = recorder.evidence(KEY)
    assert ("umbrella-2", NOON) == (evidence.organization, evidence.last_inference.at)
    assert "umbrella-2" == recorder.organization(KEY)
    assert {model("one"), model("two")} == set(recorder.history(KEY).models)


def test_the_programs_word_joins_no_slugs(process, store):
    """A gateway that ignores ``OpenAI-Organization`` answers for another: two histories, now and for ever."""
    process.sees("globex-2", claiming(ACME), runs="globex")
    process.sees("acme-1", OTHER_KEY, runs="acme")
    process.sees("acme-1", OTHER_KEY, ACME)
    process.sees("globex-2", claiming(ACME), GLOBEX, runs="globex")
    assert {"acme-1": {"acme"}, "globex-2": {"globex"}} == kept(store)


def test_the_apis_word_stands_above_the_programs(process, store):
    """An id that a job's body has tied to a slug isn't moved by a request's header."""
    process.sees("acme-1", KEY, ACME, runs="acme")
    process.sees("globex-2", claiming(ACME, OTHER_KEY), runs="globex")
    assert "acme-1" == resolved(store, ACME)
    assert ("acme-1",) == Aliases(store).names_of(claiming(ACME, Credentials("Bearer sk-3")))
    assert ("globex-2",) == Aliases(store).names_of(claiming(ACME, OTHER_KEY))


# Organizations that are never mixed.


def test_a_key_that_moves_to_another_organization(process, store):
    """From the answer that says so on, a key's inferences are the new organization's; earlier ones stay."""
    process.sees("acme-1", KEY, ACME, runs="acme")
    process.sees("globex-2", KEY, GLOBEX, runs="globex")
    assert {"acme-1": {"acme"}, "globex-2": {"globex"}} == kept(store)
    assert ("globex-2",) == process.aliases.names_of(KEY) == Aliases(store).names_of(KEY)


@pytest.mark.parametrize("slug", [None, "gateway-9"])
def test_a_gateway_that_shows_the_jobs_of_several_organizations(process, store, slug):
    """Ids that are seen together are not taken for one organization's."""
    process.sees("acme-1", KEY, ACME, runs="acme")
    process.sees("globex-2", OTHER_KEY, GLOBEX, runs="globex")
    name = process.sees(slug, Credentials("Bearer sk-gateway"), ACME, GLOBEX, runs="gateway")
    assert {"acme-1": {"acme"}, "globex-2": {"globex"}, name: {"gateway"}} == kept(store)


def test_a_gateway_that_answers_for_varying_organizations(process, store):
    """Each answer counts for the organization that it names, though all were asked for with one header."""
    for turn in ("acme", "globex", "acme", "globex"):
        process.sees(f"{turn}-1", claiming("org-Mine"), runs=turn)
        assert (f"{turn}-1",) == process.aliases.names_of(claiming("org-Mine"))
    assert {"acme-1": {"acme"}, "globex-1": {"globex"}} == kept(store)


def test_an_answer_without_a_name_counts_for_the_one_before(process, store):
    """Where slugs come only sometimes, what the API said of the credentials counts, not their header."""
    process.sees("globex-2", OTHER_KEY, GLOBEX)
    process.sees("acme-1", claiming(GLOBEX), runs="acme")  # a gateway that ignores the header
    assert "acme-1" == process.sees(None, claiming(GLOBEX), runs="acme")
    assert {"acme"} == kept(store)["acme-1"]


def test_a_new_database_is_taught_anew(process, store, tmp_path):
    """Where the store has lost everything, the next answer links the names again."""
    process.sees("acme-1")
    process.aliases._store = process.store = MemoryStore()
    process.sees("acme-1", runs="one")
    assert ("acme-1",) == Aliases(process.store).names_of(KEY)


# While names are joined.


class SteppedStore(MemoryStore):
    """Calls ``_look`` before and after each thing that is asked of it; what that returns looks next."""

    _look = None

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if name.startswith("_") or self._look is None or not callable(found):
            return found

        def watched(*args, **kwargs):
            self._pause()
            answer = found(*args, **kwargs)
            self._pause()
            return answer

        return watched

    def _pause(self):
        look, self._look = self._look, None
        if look is not None:
            self._look = look()


JOINS = {
    "the slug of a key": (Subject(None, KEY), [], Subject("acme-1", KEY), []),
    "the slug of an id": (Subject(None, KEY), [ACME], Subject("acme-1", KEY), []),
    "the slug of an id that a job names too": (Subject(None, KEY), [ACME], Subject("acme-1", KEY), [ACME]),
    "the id of a key": (Subject(None, KEY), [], Subject(None, KEY), [ACME]),
    "the slug of organization=": (Subject(None, claiming(ACME)), [], Subject("acme-1", claiming(ACME)), []),
    "the id of organization=": (Subject(None, claiming(ACME)), [], Subject(None, claiming(ACME)), [ACME]),
    "a new slug": (Subject("acme-1", KEY), [ACME], Subject("umbrella-2", KEY), [ACME]),
}
"""Whose a history is at first and by which proof, and what is learnt of it then."""


def join(case):
    """Return a store with a history, who knows it by its old name, and what gives it the new one."""
    before, proven, after, proven_then = JOINS[case]
    store = SteppedStore()
    Process(store).sees(before.organization, before.credentials, *proven, runs="one")
    knowing = Recorder(store)
    assert (
        NOON == knowing.evidence(KEY._replace(organization=before.credentials.organization)).last_inference.at
    )
    told = Recorder(store)
    if before.organization is None:  # a new slug alone may as well mean that the key has moved
        told.name(after)
    return store, (knowing, told), after, proven_then


@pytest.mark.parametrize("case", JOINS)
def test_there_is_no_moment_without_evidence(case):
    """Whoever decides while a writer joins two names finds the evidence, by the old name or the new."""
    store, readers, after, proven = join(case)

    def look():
        for reader in (*readers, Recorder(store)):
            assert NOON == reader.evidence(after.credentials).last_inference.at
            assert {model("one")} == set(reader.history(after.credentials).models)

    store._look = look
    name = Process(store).sees(after.organization, after.credentials, *proven)
    assert {name: {"one"}} == kept(store)


def overtaken(case, reader, step):
    """Return the evidence that a reader finds when names are joined at one step of its decision."""
    store, readers, after, proven = join(case)
    left = [None] * step

    def look():
        if left:
            left.pop()
            return look
        Process(store).sees(after.organization, after.credentials, *proven)
        return None

    store._look = look
    return readers[reader].evidence(after.credentials)


@pytest.mark.parametrize("case", JOINS)
def test_a_reader_that_is_overtaken_finds_the_evidence(case):
    """Names that are joined between two steps of a decision hide nothing from it."""
    for reader, step in product((0, 1), range(8)):
        assert NOON == overtaken(case, reader, step).last_inference.at


def test_what_is_written_under_a_name_that_is_just_given_up_is_kept():
    """An inference that a writer records while another process joins its slug to a new one comes along."""
    store = SteppedStore()
    elsewhere = Process(store)
    elsewhere.sees("acme-1", KEY, ACME)

    class Overtaken(MemoryStore):
        def __getattribute__(self, name):
            if name == "record":
                elsewhere.sees("umbrella-2", KEY, ACME)
            return getattr(store, name)

    recorder = Recorder(Overtaken())
    recorder.record(Subject("acme-1", OTHER_KEY), model("one"), Source.OBSERVED, NOON)
    assert recorder.flush(30)
    assert {"umbrella-2": {"one"}} == kept(store)
    assert NOON == Recorder(store).evidence(OTHER_KEY).last_inference.at


def test_an_id_without_a_slug_joins_no_two_slugs(process, store):
    """A history that got its slug from a header alone doesn't pass on when a job's body names another."""
    process.sees(None, KEY, ACME, runs="one")
    process.sees("globex-2", KEY, runs="two")  # the key has moved, or a header came at last
    process.sees("acme-1", OTHER_KEY, ACME, runs="acme")
    assert {"globex-2": {"one", "two"}, "acme-1": {"acme"}} == kept(store)


# What a decision costs.


class _Counting:
    """Tells which of its methods were called, in order."""

    calls: tuple[str, ...] = ()

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if callable(found) and not name.startswith("_"):
            self.calls = (*self.calls, name)
        return found


class CountingMemory(_Counting, MemoryStore):
    pass


class CountingDisk(_Counting, DiskStore):
    pass


@pytest.mark.parametrize("models", [1, 10_000])
@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_decision_reads_the_store_once(tmp_path, models, place):
    """However many models an organization has: one read of its summary, once its slug is known."""
    counting = CountingMemory() if place == "memory" else CountingDisk(tmp_path / "history")
    subject = Subject("acme-1", KEY)
    name = Aliases(counting).write(subject, [])
    counting.record(
        name,
        [
            Activity(inference=Inference(organization=name, model=model(f"m{number}"), at=NOON))
            for number in range(models)
        ],
    )
    recorder = Recorder(counting)
    assert NOON == recorder.evidence(KEY).last_inference.at  # looks the key up as well
    counting.calls = ()
    assert NOON == recorder.evidence(KEY).last_inference.at
    assert ("evidence",) == counting.calls


def test_what_is_not_known_costs_few_reads():
    """An empty store is asked one thing for a decision; one that holds others' histories is asked four."""
    store, looks = SteppedStore(), []

    def look():
        looks.append(None)  # before and after each call
        return look

    store._look = look
    recorder = Recorder(store)
    assert recorder.evidence(KEY).last_inference is None
    assert 2 == len(looks)
    store.salt(create=True)
    for reads in (4, 3):  # the salt is read once
        looks.clear()
        assert recorder.evidence(KEY).last_inference is None
        assert 2 * reads == len(looks)


# Whatever order things are learnt in.


@dataclass(frozen=True)
class Seen:
    """One answer of the API, as far as it names anybody.

    Attributes:
        organization: Whose it is: 0 or 1.
        era: Which of its slugs the organization had: 0 or 1.
        key: Which of its keys was used.
        header: Whose id the request's header named; None for no header.
        named: Whether the slug came with it.
        proven: Whether the body named the organization's id.
        project: Whether the project's header came.
        process: Which process saw it.
    """

    organization: int
    era: int
    key: int
    header: int | None
    named: bool
    proven: bool
    project: bool
    process: int


def answers():
    """Any answers, behind gateways that strip the answers' headers, or that ignore the requests'."""
    one, maybe = st.integers(0, 1), st.booleans()
    seen = st.builds(Seen, one, one, one, st.none() | one, maybe, maybe, maybe, one)
    stripping = seen.filter(lambda each: each.header in (None, each.organization))
    ignoring = seen.filter(lambda each: each.header is None or each.named)
    return st.lists(stripping) | st.lists(ignoring)


def credentials_of(seen: Seen) -> Credentials:
    header = None if seen.header is None else f"org-Number{seen.header}"
    return Credentials(f"Bearer sk-{seen.organization}-{seen.key}", header)


def tell(process: Process, seen: Seen) -> None:
    slug = f"name{seen.organization}-{seen.era}" if seen.named else None
    proven = [f"org-Number{seen.organization}"] if seen.proven else []
    proven += [f"proj_Of{seen.organization}"] if seen.project else []
    process.sees(slug, credentials_of(seen), *proven, runs=f"model{seen.organization}")


def one_history_each(store, seen: list[Seen]) -> None:
    processes = Process(store), Process(store)
    for each in seen:
        tell(processes[each.process], each)
        mixed = {name: models for name, models in kept(store).items() if len(models) > 1}
        assert {} == mixed
    for each in seen:  # in the end the API names all, by all their names
        for era in (0, 1):
            tell(processes[0], Seen(each.organization, era, each.key, each.header, True, True, False, 0))
    organizations = {each.organization for each in seen}
    assert len(organizations) == len(store.organizations())
    assert sorted(f"model{number}" for number in organizations) == sorted(
        "".join(models) for models in kept(store).values()
    )
    for each in seen:
        (found,) = Aliases(store).names_of(credentials_of(each))
        assert {f"model{each.organization}"} == kept(store)[found]


@given(answers())
@settings(max_examples=some(300))
def test_one_organization_ends_with_one_history(seen):
    """In whatever order slugs, ids, keys and projects are learnt: one history each, and never a mixed one."""
    one_history_each(MemoryStore(), seen)


@given(answers(), st.lists(st.integers(0, 3), min_size=1))
@settings(max_examples=some(100))
def test_what_a_process_reads_is_its_own_organizations(seen, order):
    """No process ever reads another organization's inferences for a key of its own."""
    store = MemoryStore()
    recorders = [Recorder(store), Recorder(store)]
    told = set()
    for position, each in enumerate(seen):
        slug = f"name{each.organization}-{each.era}" if each.named else None
        subject = Subject(slug, credentials_of(each))
        recorder = recorders[each.process]
        ids = [f"org-Number{each.organization}"] if each.proven else []
        recorder.merge(subject, names=ids)
        recorder.record(subject, model(f"model{each.organization}"), Source.OBSERVED, NOON)
        told.add(each.process)
        if order[position % len(order)] == 0:
            assert recorder.flush(30)
        read = recorder.history(credentials_of(each)).models
        assert {model(f"model{each.organization}")} == set(read)
    for recorder in recorders:
        assert recorder.flush(30)


def test_keys_without_end_do_not_fill_the_store():
    """Tokens that change with every request are linked up to a bound; their inferences all count."""
    store = MemoryStore()
    process = Process(store)
    for number in range(1_200):
        assert "acme" == process.sees("acme", Credentials(f"Bearer {number}"), runs="acme")
    assert 1_000 == len(store.aliases())
    assert {NOON.date(): {Source.OBSERVED: 1_200}} == store.history("acme").daily
