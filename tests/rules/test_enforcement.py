"""How an eligibility decides what happens to a call."""

from __future__ import annotations

from datetime import timedelta

import openai
import pytest

from finetune_guard.domain.errors import (
    EligibilityWarning,
    FineTuningClosedError,
    FineTuningRefusedError,
    HistoryUnavailableWarning,
    InferenceWindowExpiredError,
    KeepAliveError,
    NeverFineTunedError,
    NoInferenceRecordedError,
    PolicyBoundaryWarning,
    UsageSyncError,
)
from finetune_guard.domain.facts import Coverage, Inference, Refusal
from finetune_guard.domain.history import Evidence
from finetune_guard.domain.policy import DEPRECATIONS_PAGE, OPENAI_SELF_SERVE
from finetune_guard.domain.verdict import Reason
from finetune_guard.openai_api.requests import JobCreation, TrainingUpload
from finetune_guard.rules.eligibility import explained
from finetune_guard.rules.enforcement import Proceed, Stop, enforce
from finetune_guard.rules.messages import (
    describe_cause,
    describe_evidence,
    describe_rule,
    format_time,
    stopped,
)
from tests.support.constants import FINE_TUNED, utc

NOW = utc(2026, 12, 1)
LAST = Inference(organization="acme-28gund", model=FINE_TUNED, at=utc(2026, 9, 1, 10, 30))
REFUSAL = Refusal(at=NOW, code="training_not_available", message="OpenAI is winding down.")
KNOWN = Evidence(organization="acme-28gund", last_inference=LAST, refusal=REFUSAL)
JOB, UPLOAD = JobCreation(None), TrainingUpload()


def eligibility_for(reason: Reason):
    return explained(OPENAI_SELF_SERVE, KNOWN, NOW, reason)


def decision_on(call, reason, on_unknown, **facts):
    return enforce(call, eligibility_for(reason), OPENAI_SELF_SERVE, on_unknown, **facts)


STOPPED_ALWAYS = {Reason.CLOSED: FineTuningClosedError, Reason.REFUSED: FineTuningRefusedError}
STOPPED_BY_DEFAULT = {
    Reason.NO_RECENT_INFERENCE: InferenceWindowExpiredError,
    Reason.WINDOW_EXPIRED: InferenceWindowExpiredError,
    Reason.WINDOW_EDGE: InferenceWindowExpiredError,
    Reason.NO_INFERENCE_RECORDED: NoInferenceRecordedError,
    Reason.NEVER_FINE_TUNED: NeverFineTunedError,
}
ALWAYS_WARNED = {
    Reason.POLICY_BOUNDARY: PolicyBoundaryWarning,
    Reason.HISTORY_UNAVAILABLE: HistoryUnavailableWarning,
    Reason.CLOCK_IN_DOUBT: EligibilityWarning,
    Reason.REFUSAL_IN_DOUBT: EligibilityWarning,
}


@pytest.mark.parametrize("call", [JOB, UPLOAD], ids=["job", "upload"])
@pytest.mark.parametrize("reason", Reason)
def test_jobs_and_uploads_are_stopped_alike(reason, call):
    """An upload warns only where that is asked for."""
    stops = STOPPED_ALWAYS | STOPPED_BY_DEFAULT
    for on_unknown in ("raise", "warn", "allow"):
        decision = decision_on(call, reason, on_unknown)
        if reason in STOPPED_ALWAYS or (on_unknown == "raise" and reason in STOPPED_BY_DEFAULT):
            assert stops[reason] is type(decision.error)
            continue
        warned = {**ALWAYS_WARNED, **dict.fromkeys(STOPPED_BY_DEFAULT, EligibilityWarning)}
        expected = warned.get(reason) if on_unknown == "warn" else ALWAYS_WARNED.get(reason)
        if call is UPLOAD and on_unknown != "warn":
            expected = None
        assert isinstance(decision, Proceed)
        assert ([] if expected is None else [expected]) == [type(warning) for warning in decision.warnings]


@pytest.mark.parametrize("reason", STOPPED_ALWAYS | STOPPED_BY_DEFAULT)
def test_error_names_call_rule_evidence_and_remedy(reason):
    url = "https://gateway.acme.com/v1/fine_tuning/jobs"
    error = decision_on(JOB, reason, "raise", url=url).error
    assert isinstance(error, openai.PermissionDeniedError)
    assert ("training_not_available", False, url) == (error.code, error.sent, str(error.request.url))
    assert error.body == error.response.json()["error"]
    assert eligibility_for(reason) == error.eligibility
    what, by_rule, on_evidence, to_do = str(error).split("\n")
    assert what.startswith("The fine-tuning job was not created: ")
    assert DEPRECATIONS_PAGE in by_rule
    assert FINE_TUNED in on_evidence
    assert f"What to do: {error.remedy}" == to_do
    assert "client.with_options(guard=GuardConfig(enabled=False))" in error.remedy
    assert str(error).isascii()


def test_remedies_are_in_order_of_usefulness():
    """Usage, then ``record()``, then ``"warn"``."""
    remedy = eligibility_for(Reason.NO_INFERENCE_RECORDED).remedy
    remedies = ("finetune-guard sync", "client.guard.record(", 'on_unknown="warn"', "with_options(")
    places = [remedy.index(flavour) for flavour in remedies]
    assert sorted(places) == places


def test_messages_about_uploads_mention_no_job():
    assert str(decision_on(UPLOAD, Reason.CLOSED, "raise").error).startswith(
        "The training file was not uploaded: since 2027-01-06 nobody can create"
    )
    (warning,) = decision_on(UPLOAD, Reason.WINDOW_EXPIRED, "warn").warnings
    assert str(warning).startswith("The API decides about this training file: the last known inference ")
    assert "To let the API decide" not in str(warning)


def test_error_says_why_a_keep_alive_or_request_failed():
    """It repeats none of the API's words, and the cause is chained."""
    request = openai.APIConnectionError(request=None)
    keep_alive = KeepAliveError("No model answered.")
    decision = decision_on(JOB, Reason.WINDOW_EXPIRED, "raise", failures=[request, keep_alive])
    assert "\nThe API could not be asked which models and jobs this key sees: no connection.\n" in str(
        decision.error
    )
    assert "\nKeep-alive: No model answered.\n" in str(decision.error)
    assert Stop(decision.error, keep_alive) == decision
    usage = decision_on(JOB, Reason.WINDOW_EXPIRED, "raise", failures=[UsageSyncError("No admin key.")])
    assert "\nUsage: No admin key.\n" in str(usage.error)


def test_every_reason_has_a_text():
    for reason in Reason:
        words = describe_cause(eligibility_for(reason))
        assert (False, False) == (words.endswith("."), "None" in words)
    unnamed = eligibility_for(Reason.NO_INFERENCE_RECORDED).model_copy(
        update={"organization": None, "remedy": None}
    )
    assert "no inference of this organization on a fine-tuned model is known" == describe_cause(unnamed)
    assert "What to do" not in stopped(JOB, unnamed, OPENAI_SELF_SERVE)


def test_evidence_text_distinguishes_local_and_organization_coverage():
    local = eligibility_for(Reason.WINDOW_EXPIRED)
    assert "not the whole organization" in describe_evidence(local)
    part = local.model_copy(update={"covered_until": NOW})
    assert (
        f"usage was read up to {format_time(NOW)} only, and after that only clients that share"
        in describe_evidence(part)
    )
    whole = part.model_copy(update={"coverage": Coverage.ORGANIZATION})
    assert "the whole organization's usage was read" in describe_evidence(whole)
    assert "may lag" in describe_evidence(whole)
    assert describe_evidence(local.model_copy(update={"last_inference": None})).startswith(
        "no inference is known"
    )
    assert '403 training_not_available: "OpenAI is winding down."' in describe_evidence(
        eligibility_for(Reason.REFUSED)
    )


@pytest.mark.parametrize(
    ("within", "text"),
    [
        (timedelta(minutes=1), "at 2026-09-01 10:30 UTC (observed)"),
        (timedelta(hours=1), "at 2026-09-01 10:30 UTC or up to 1 hour later (observed)"),
        (timedelta(days=1), "at 2026-09-01 10:30 UTC or up to 1 day later (observed)"),
    ],
)
def test_evidence_text_shows_days_without_a_time(within, text):
    last = LAST.model_copy(update={"within": within})
    assert text in describe_evidence(
        eligibility_for(Reason.WINDOW_EDGE).model_copy(update={"last_inference": last})
    )


def test_rule_quoted_in_messages():
    early = explained(OPENAI_SELF_SERVE, KNOWN, utc(2026, 1, 1), Reason.REFUSED)
    assert "none of OpenAI self-serve fine-tuning holds yet." == describe_rule(early, OPENAI_SELF_SERVE)
    assert describe_rule(eligibility_for(Reason.NEVER_FINE_TUNED), OPENAI_SELF_SERVE).startswith(
        "since 2026-05-07: "
    )
    only = OPENAI_SELF_SERVE.model_copy(update={"phases": OPENAI_SELF_SERVE.phases[2:]})
    assert describe_rule(eligibility_for(Reason.NEVER_FINE_TUNED), only).startswith("since 2026-07-02: ")
    assert "an unknown day" == format_time(None)


def test_text_of_an_open_window_mentions_the_end_of_job_creation():
    recent = LAST.model_copy(update={"at": utc(2026, 11, 20)})
    known = Evidence(organization="acme-28gund", last_inference=recent)
    outlives = explained(OPENAI_SELF_SERVE, known, NOW, Reason.RECENT_INFERENCE)
    assert describe_cause(outlives).endswith(
        "until 2027-01-19 00:00 UTC; from 2027-01-06 on nobody can create jobs"
    )
    known = Evidence(organization="acme-28gund", last_inference=LAST)
    closes_before = explained(OPENAI_SELF_SERVE, known, LAST.at, Reason.RECENT_INFERENCE)
    assert describe_cause(closes_before).endswith("until 2026-10-31 10:30 UTC")
