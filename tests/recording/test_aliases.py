"""One organization, one history, whatever it is called; and never a word about one in another's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune_guard.domain.facts import Activity, Inference, Source
from finetune_guard.domain.organizations import Credentials, Subject
from finetune_guard.recording.aliases import Aliases, resolve
from finetune_guard.recording.recorder import Recorder
from finetune_guard.stores.disk.store import DiskStore
from finetune_guard.stores.memory import MemoryStore
from tests.support.constants import NOW
from tests.support.effort import some

KEY, OTHER_KEY, THIRD_KEY = (Credentials(f"Bearer sk-{number}") for number in (1, 2, 3))
ACME, GLOBEX = "org-Acme", "org-Globex"


def model(name: str) -> str:
    return f"ft:gpt-4o-mini-2024-07-18:{name}::AbC123xY"


def credentials_claiming(own_id: str, key: Credentials = KEY) -> Credentials:
    """Credentials of a client that is made with ``organization=own_id``."""
    return key._replace(organization=own_id)


class Process:
    """One process that uses a store: it sees answers and writes what they tell."""

    def __init__(self, store) -> None:
        self.store = store
        self.aliases = Aliases(store)

    def sees(self, slug, credentials=KEY, *proven, runs=None):
        """Write what an answer tells, and the inference it was of, if any; return the history's name."""
        subject = Subject(slug, credentials)
        self.aliases.record_organization(subject)
        name = self.aliases.link_subject(subject, sorted(proven))
        if runs is not None:
            inference = Inference(organization=name, model=model(runs), at=NOW)
            self.store.record(name, [Activity(inference=inference, counts={NOW.date(): 1})])
        return name


def models_by_history(store) -> dict[str, set[str]]:
    """The models in each stored history."""
    return {
        name: {used.split(":")[2] for used in store.history(name).models} for name in store.organizations()
    }


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else DiskStore(tmp_path / "history")


LEARNT = {
    "a better name twice": (
        [(None, KEY, [], "one"), (None, KEY, [ACME], "two"), ("acme-1", KEY, [ACME], "three")],
        {"acme-1": {"one", "two", "three"}},
        {KEY: "acme-1", ACME: "acme-1"},
    ),
    "behind a gateway that strips headers, keys with the same organization= share a history": (
        [
            (None, credentials_claiming(ACME), [], "one"),
            (None, credentials_claiming(ACME, OTHER_KEY), [], "two"),
        ],
        {ACME: {"one", "two"}},
        {credentials_claiming(ACME, THIRD_KEY): ACME},
    ),
    "projects": (
        [(None, KEY, ["proj_One"], "one"), ("acme-1", KEY, ["proj_Two"], None)],
        {"acme-1": {"one"}},
        {"proj_One": "acme-1", "proj_Two": "acme-1"},
    ),
    "a key never seen before belongs to the organization that it is used with": (
        [("acme-1", credentials_claiming(ACME), [], "one")],
        {"acme-1": {"one"}},
        {credentials_claiming(ACME): "acme-1", credentials_claiming(ACME, OTHER_KEY): "acme-1"},
    ),
    "until an answer says more": (
        [
            ("acme-1", credentials_claiming(ACME), [], "one"),
            ("globex-2", credentials_claiming(ACME, OTHER_KEY), [], "two"),
        ],
        {"acme-1": {"one"}, "globex-2": {"two"}},
        {credentials_claiming(ACME, OTHER_KEY): "globex-2"},
    ),
    "what an answer said of a key stays, whatever its header comes to mean": (
        [
            ("acme-1", credentials_claiming(ACME), [], "one"),
            ("acme-1", credentials_claiming(ACME, OTHER_KEY), [], None),
            ("globex-2", credentials_claiming(ACME), [], None),  # a gateway that ignores the header
        ],
        {"acme-1": {"one"}},
        {credentials_claiming(ACME, OTHER_KEY): "acme-1"},
    ),
    "a renamed organization whose new name an inference told before a job": (
        [
            ("acme-1", credentials_claiming(ACME), [ACME], "one"),
            ("umbrella-2", credentials_claiming(ACME), [], "two"),
            ("umbrella-2", credentials_claiming(ACME), [ACME], "three"),
        ],
        {"umbrella-2": {"one", "two", "three"}},
        {credentials_claiming(ACME): "umbrella-2"},
    ),
    "an organization that takes its old name again": (
        [
            ("acme-1", KEY, [ACME], "one"),
            ("umbrella-2", KEY, [ACME], "two"),
            ("acme-1", KEY, [ACME], "three"),
        ],
        {"umbrella-2": {"one", "two", "three"}},
        {"acme-1": "umbrella-2", "umbrella-2": "umbrella-2"},
    ),
    "a gateway that ignores organization= joins no two organizations": (
        [
            ("globex-2", credentials_claiming(ACME), [], "globex"),
            ("acme-1", OTHER_KEY, [], "acme"),
            ("acme-1", OTHER_KEY, [ACME], None),
            ("globex-2", credentials_claiming(ACME), [GLOBEX], "globex"),
        ],
        {"acme-1": {"acme"}, "globex-2": {"globex"}},
        {},
    ),
    "the API's word stands above the program's": (
        [("acme-1", KEY, [ACME], "acme"), ("globex-2", credentials_claiming(ACME, OTHER_KEY), [], "globex")],
        {"acme-1": {"acme"}, "globex-2": {"globex"}},
        {
            ACME: "acme-1",
            credentials_claiming(ACME, THIRD_KEY): "acme-1",
            credentials_claiming(ACME, OTHER_KEY): "globex-2",
        },
    ),
    "a key that moves to another organization": (
        [("acme-1", KEY, [ACME], "acme"), ("globex-2", KEY, [GLOBEX], "globex")],
        {"acme-1": {"acme"}, "globex-2": {"globex"}},
        {KEY: "globex-2"},
    ),
    "a gateway that shows the jobs of several organizations": (
        [
            ("acme-1", KEY, [ACME], "acme"),
            ("globex-2", OTHER_KEY, [GLOBEX], "globex"),
            ("gateway-9", THIRD_KEY, [ACME, GLOBEX], "gateway"),
        ],
        {"acme-1": {"acme"}, "globex-2": {"globex"}, "gateway-9": {"gateway"}},
        {},
    ),
    "a gateway that answers for varying organizations": (
        [
            (f"{turn}-1", credentials_claiming("org-Mine"), [], turn)
            for turn in ("acme", "globex", "acme", "globex")
        ],
        {"acme-1": {"acme"}, "globex-1": {"globex"}},
        {credentials_claiming("org-Mine"): "globex-1"},
    ),
    "an answer without a name counts for the one before": (
        [
            ("globex-2", OTHER_KEY, [GLOBEX], None),
            ("acme-1", credentials_claiming(GLOBEX), [], "acme"),  # a gateway that ignores the header
            (None, credentials_claiming(GLOBEX), [], "acme"),
        ],
        {"acme-1": {"acme"}},
        {},
    ),
    "an id without a slug joins no two slugs": (
        [
            (None, KEY, [ACME], "one"),
            ("globex-2", KEY, [], "two"),  # the key has moved, or a header came at last
            ("acme-1", OTHER_KEY, [ACME], "acme"),
        ],
        {"globex-2": {"one", "two"}, "acme-1": {"acme"}},
        {},
    ),
}
"""What answers tell, one after the other; whose models each history then holds; and where names lead."""


@pytest.mark.parametrize("one_process", [True, False])
@pytest.mark.parametrize("case", LEARNT)
def test_each_organization_has_one_history_by_its_best_name(store, case, one_process):
    """It holds whether one process sees all answers or several."""
    seen, expected, expected_names = LEARNT[case]
    process = Process(store)
    for slug, credentials, proven, runs in seen:
        process = process if one_process else Process(store)
        process.aliases.names_of(credentials)
        process.sees(slug, credentials, *proven, runs=runs)
    assert expected == models_by_history(store)
    for credentials_name, name in expected_names.items():
        if isinstance(credentials_name, str):
            assert name == resolve(store, credentials_name)
        else:
            assert (
                (name,)
                == process.aliases.names_of(credentials_name)
                == Aliases(store).names_of(credentials_name)
            )


def test_names_are_linked_again_after_the_store_lost_them(store):
    process = Process(store)
    process.sees("acme-1")
    process.aliases._store = process.store = MemoryStore()
    process.sees("acme-1", runs="one")
    assert ("acme-1",) == Aliases(process.store).names_of(KEY)


# While names are joined.


class SteppedStore(MemoryStore):
    """Calls ``_look`` before and after each thing that is asked of it; what that returns looks next."""

    _look = None

    def __getattribute__(self, name):
        attribute = super().__getattribute__(name)
        if name.startswith("_") or self._look is None or not callable(attribute):
            return attribute

        def watched(*args, **kwargs):
            self._pause()
            answer = attribute(*args, **kwargs)
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
    "the slug of organization=": (
        Subject(None, credentials_claiming(ACME)),
        [],
        Subject("acme-1", credentials_claiming(ACME)),
        [],
    ),
    "the id of organization=": (
        Subject(None, credentials_claiming(ACME)),
        [],
        Subject(None, credentials_claiming(ACME)),
        [ACME],
    ),
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
        NOW == knowing.evidence(KEY._replace(organization=before.credentials.organization)).last_inference.at
    )
    recorder = Recorder(store)
    if before.organization is None:  # a new slug alone may as well mean that the key has moved
        recorder.record_organization(after)
    return store, (knowing, recorder), after, proven_then


@pytest.mark.parametrize("case", JOINS)
def test_evidence_is_found_while_a_writer_joins_two_names(case):
    store, readers, after, proven = join(case)

    def look():
        for reader in (*readers, Recorder(store)):
            assert NOW == reader.evidence(after.credentials).last_inference.at
            assert {model("one")} == set(reader.history(after.credentials).models)

    store._look = look
    name = Process(store).sees(after.organization, after.credentials, *proven)
    assert {name: {"one"}} == models_by_history(store)
    for reader in readers:
        assert name == reader.evidence(after.credentials).organization
        assert after.organization == reader.organization(after.credentials)


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
def test_evidence_is_found_when_names_join_during_a_decision(case):
    for reader, step in product((0, 1), range(8)):
        assert NOW == overtaken(case, reader, step).last_inference.at


def test_inference_written_under_a_replaced_name_is_kept():
    store = SteppedStore()
    elsewhere = Process(store)
    elsewhere.sees("acme-1", KEY, ACME)

    class OvertakenStore(MemoryStore):
        def __getattribute__(self, name):
            if name == "record":
                elsewhere.sees("umbrella-2", KEY, ACME)
            return getattr(store, name)

    recorder = Recorder(OvertakenStore())
    recorder.record(Subject("acme-1", OTHER_KEY), model("one"), Source.OBSERVED, NOW)
    assert recorder.flush(300)
    assert {"umbrella-2": {"one"}} == models_by_history(store)
    assert NOW == Recorder(store).evidence(OTHER_KEY).last_inference.at


# What a decision costs.


def test_decision_costs_few_store_reads():
    """It costs one where the organization is known or the store is empty, else those of its names."""
    store, looks = SteppedStore(), []

    def look():
        looks.append(None)  # before and after each call
        return look

    def reads(recorder):
        looks.clear()
        assert recorder.evidence(KEY) == recorder.evidence(KEY)
        return len(looks) / 2

    store._look = look
    recorder = Recorder(store)
    assert 2 * 1 == reads(recorder)
    store.salt(create=True)
    assert 4 + 3 == reads(recorder)  # the salt is read once
    Process(store).sees("acme-1", runs="one")
    assert NOW == recorder.evidence(KEY).last_inference.at  # looks the key up as well
    assert 2 * 1 == reads(recorder)


# Whatever order things are learnt in.


@dataclass(frozen=True)
class SeenAnswer:
    """One answer of the API, as far as it names anybody."""

    organization: int  # whose it is: 0 or 1
    era: int  # which of its slugs the organization had: 0 or 1
    key: int
    header: int | None  # whose id the request's header named
    named: bool  # whether the slug came with it
    proven: bool  # whether the body named the organization's id
    project: bool  # whether the project's header came
    process: int  # which process saw it


def answers():
    """Any answers, behind gateways that strip the answers' headers, or that ignore the requests'."""
    one, maybe = st.integers(0, 1), st.booleans()
    seen = st.builds(SeenAnswer, one, one, one, st.none() | one, maybe, maybe, maybe, one)
    stripping = seen.filter(lambda answer: answer.header in (None, answer.organization))
    ignoring = seen.filter(lambda answer: answer.header is None or answer.named)
    return st.lists(stripping) | st.lists(ignoring)


def credentials_of(seen: SeenAnswer) -> Credentials:
    header = None if seen.header is None else f"org-Number{seen.header}"
    return Credentials(f"Bearer sk-{seen.organization}-{seen.key}", header)


def record_answer(process: Process, seen: SeenAnswer) -> None:
    slug = f"name{seen.organization}-{seen.era}" if seen.named else None
    proven = [f"org-Number{seen.organization}"] if seen.proven else []
    proven += [f"proj_Of{seen.organization}"] if seen.project else []
    process.sees(slug, credentials_of(seen), *proven, runs=f"model{seen.organization}")


@given(answers())
@settings(max_examples=some(300))
def test_names_learnt_in_any_order_give_one_history_each(seen):
    store = MemoryStore()
    processes = Process(store), Process(store)
    for answer in seen:
        record_answer(processes[answer.process], answer)
        mixed = {name: models for name, models in models_by_history(store).items() if len(models) > 1}
        assert {} == mixed
    for answer in seen:  # in the end the API names all, by all their names
        for era in (0, 1):
            record_answer(
                processes[0],
                SeenAnswer(answer.organization, era, answer.key, answer.header, True, True, False, 0),
            )
    organizations = {answer.organization for answer in seen}
    assert len(organizations) == len(store.organizations())
    assert sorted(f"model{number}" for number in organizations) == sorted(
        "".join(models) for models in models_by_history(store).values()
    )
    for answer in seen:
        (canonical,) = Aliases(store).names_of(credentials_of(answer))
        assert {f"model{answer.organization}"} == models_by_history(store)[canonical]


@given(answers(), st.lists(st.integers(0, 3), min_size=1))
@settings(max_examples=some(100))
def test_process_reads_only_its_own_organizations_history(seen, order):
    store = MemoryStore()
    recorders = [Recorder(store), Recorder(store)]
    answered = set()
    for position, answer in enumerate(seen):
        slug = f"name{answer.organization}-{answer.era}" if answer.named else None
        subject = Subject(slug, credentials_of(answer))
        recorder = recorders[answer.process]
        ids = [f"org-Number{answer.organization}"] if answer.proven else []
        recorder.merge(subject, names=ids)
        recorder.record(subject, model(f"model{answer.organization}"), Source.OBSERVED, NOW)
        answered.add(answer.process)
        if order[position % len(order)] == 0:
            assert recorder.flush(300)
        read = recorder.history(credentials_of(answer)).models
        assert {model(f"model{answer.organization}")} == set(read)
    for recorder in recorders:
        assert recorder.flush(300)


def test_aliases_of_changing_keys_are_bounded_and_their_inferences_counted():
    store = MemoryStore()
    process = Process(store)
    for number in range(1_200):
        assert "acme" == process.sees("acme", Credentials(f"Bearer {number}"), runs="acme")
    assert 1_000 == len(store.aliases())
    assert len(process.aliases._seen) <= 1_000
    assert {NOW.date(): {Source.OBSERVED: 1_200}} == store.history("acme").daily
