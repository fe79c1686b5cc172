"""From an eligibility to an error, a warning, or nothing."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from finetune_guard.domain.errors import (
    FineTuningClosedError,
    HistoryUnavailableWarning,
    InferenceWindowExpiredError,
    KeepAliveError,
    NeverFineTunedError,
    NoInferenceRecordedError,
    PolicyBoundaryWarning,
)
from finetune_guard.domain.history import Coverage, Evidence, Inference, Refusal
from finetune_guard.domain.policy import DEPRECATIONS_PAGE, OPENAI_SELF_SERVE
from finetune_guard.domain.verdict import Reason
from finetune_guard.openai_api.requests import JobCreation, TrainingUpload
from finetune_guard.rules.eligibility import explained
from finetune_guard.rules.enforcement import (
    cause,
    evidence,
    moment,
    must_stop,
    rule,
    stopping_error,
    stopping_message,
    warning,
)

NOW = datetime(2026, 12, 1, tzinfo=timezone.utc)
MODEL = "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY"
LAST = Inference(
    organization="acme-28gund", model=MODEL, at=datetime(2026, 9, 1, 10, 30, tzinfo=timezone.utc)
)
REFUSAL = Refusal(at=NOW, code="training_not_available", message="OpenAI is winding down.")
KNOWN = Evidence(organization="acme-28gund", last_inference=LAST, refusal=REFUSAL)
JOB, UPLOAD = JobCreation(None), TrainingUpload()


def because(reason: Reason):
    return explained(OPENAI_SELF_SERVE, KNOWN, NOW, reason)


STOPPED_ALWAYS = {Reason.WINDOW_EXPIRED, Reason.NO_RECENT_INFERENCE, Reason.CLOSED, Reason.REFUSED}
STOPPED_WHEN_ASKED = {Reason.NO_INFERENCE_RECORDED, Reason.NEVER_FINE_TUNED, Reason.WINDOW_EDGE}


@pytest.mark.parametrize("reason", Reason)
def test_what_is_stopped(reason):
    """A sure no stops jobs and uploads; what is unknown stops jobs, and only where asked to."""
    eligibility = because(reason)
    assert (reason in STOPPED_ALWAYS | STOPPED_WHEN_ASKED) is must_stop(JOB, eligibility, "raise")
    assert (reason in STOPPED_ALWAYS) is must_stop(JOB, eligibility, "allow")
    assert (reason in STOPPED_ALWAYS) is must_stop(UPLOAD, eligibility, "raise")


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (Reason.CLOSED, FineTuningClosedError),
        (Reason.WINDOW_EXPIRED, InferenceWindowExpiredError),
        (Reason.NO_RECENT_INFERENCE, InferenceWindowExpiredError),
        (Reason.WINDOW_EDGE, InferenceWindowExpiredError),
        (Reason.NO_INFERENCE_RECORDED, NoInferenceRecordedError),
        (Reason.NEVER_FINE_TUNED, NeverFineTunedError),
    ],
)
def test_the_error_says_what_by_which_rule_on_what_evidence_and_what_to_do(reason, error):
    """Each error answers the four questions, and carries its eligibility and remedy."""
    raised = stopping_error(JOB, because(reason), OPENAI_SELF_SERVE)
    assert error is type(raised)
    assert because(reason) == raised.eligibility
    assert raised.remedy == raised.eligibility.remedy
    what, by_rule, on_evidence, to_do = str(raised).split("\n")
    assert what.startswith("The fine-tuning job was not created: ")
    assert DEPRECATIONS_PAGE in by_rule
    assert MODEL in on_evidence
    assert f"What to do: {raised.remedy}" == to_do


def test_an_upload_is_called_an_upload():
    """A stopped upload doesn't speak of a job that was not created."""
    assert stopping_message(UPLOAD, because(Reason.CLOSED), OPENAI_SELF_SERVE).startswith(
        "The training file was not uploaded: since 2027-01-06 nobody can create"
    )


def test_a_keep_alive_that_failed_is_told():
    """When a keep-alive was tried first, the error says why it didn't help."""
    failure = KeepAliveError("No model answered.")
    message = stopping_message(JOB, because(Reason.WINDOW_EXPIRED), OPENAI_SELF_SERVE, [failure])
    assert "\nKeep-alive: No model answered.\n" in message


def test_no_remedy_is_made_up():
    """Where nothing is known to help, no line says that something would."""
    eligibility = because(Reason.WINDOW_EXPIRED).model_copy(update={"remedy": None})
    assert "What to do" not in stopping_message(JOB, eligibility, OPENAI_SELF_SERVE)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.POLICY_BOUNDARY, PolicyBoundaryWarning),
        (Reason.HISTORY_UNAVAILABLE, HistoryUnavailableWarning),
        (Reason.RECENT_INFERENCE, type(None)),
    ],
)
def test_warnings_go_with_jobs_that_the_api_decides_about(reason, expected):
    """A job warns while a date is crossed and when the history can't be read; an upload never does."""
    assert expected is type(warning(JOB, because(reason)))
    assert warning(UPLOAD, because(reason)) is None


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words(reason):
    """Each reason is put into a clause of its own, without a full stop."""
    words = cause(because(reason))
    assert words
    assert not words.endswith(".")
    assert "None" not in words


def test_causes_name_the_organization_only_when_it_is_known():
    """Without a slug the sentence still reads well."""
    unnamed = because(Reason.NO_INFERENCE_RECORDED).model_copy(update={"organization": None})
    assert "no inference of this organization on a fine-tuned model is known" == cause(unnamed)


def test_evidence_says_whose_inferences_were_seen():
    """Local and organization-wide knowledge are told apart, and nothing known is said to be nothing."""
    local = because(Reason.WINDOW_EXPIRED)
    assert "not the whole organization" in evidence(local)
    whole = local.model_copy(update={"coverage": Coverage.ORGANIZATION})
    assert "the whole organization's usage was read" in evidence(whole)
    assert evidence(local.model_copy(update={"last_inference": None})).startswith("no inference is known")
    assert "403 training_not_available: “OpenAI is winding down.”" in evidence(because(Reason.REFUSED))


def test_before_any_rule_there_is_none_to_quote():
    """In the policy's first phase no rule is quoted."""
    early = explained(OPENAI_SELF_SERVE, KNOWN, datetime(2026, 1, 1, tzinfo=timezone.utc), Reason.REFUSED)
    assert "none of OpenAI self-serve fine-tuning holds yet." == rule(early, OPENAI_SELF_SERVE)


def test_moments_are_told_to_the_minute():
    """Times are UTC and say so."""
    assert "2026-12-01 00:00 UTC" == moment(NOW)
    assert "an unknown day" == moment(None)


def test_a_window_that_outlives_job_creation_says_so():
    """An open window promises no job after the day on which creation ends for everybody."""
    recent = LAST.model_copy(update={"at": datetime(2026, 11, 20, tzinfo=timezone.utc)})
    known = Evidence(organization="acme-28gund", last_inference=recent)
    outlives = explained(OPENAI_SELF_SERVE, known, NOW, Reason.RECENT_INFERENCE)
    assert cause(outlives).endswith("until 2027-01-19 00:00 UTC; from 2027-01-06 on nobody can create jobs")

    known = Evidence(organization="acme-28gund", last_inference=LAST)
    closes_before = explained(OPENAI_SELF_SERVE, known, LAST.at, Reason.RECENT_INFERENCE)
    assert cause(closes_before).endswith("until 2026-10-31 10:30 UTC")
