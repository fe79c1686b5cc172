"""The ids of fine-tuned models, and when they are shut down."""

from __future__ import annotations

from datetime import date

import pytest

from finetune_guard.models import (
    MAX_MODEL_ID_LENGTH,
    FineTunedModel,
    ModelForm,
    base_of,
    published_catalog,
)


@pytest.mark.parametrize(
    ("model_id", "form", "base", "organization", "suffix", "step"),
    [
        (
            "ft:gpt-4o-mini-2024-07-18:acme:support-bot:AbC123xY",
            ModelForm.FINE_TUNE,
            "gpt-4o-mini-2024-07-18",
            "acme",
            "support-bot",
            None,
        ),
        (
            "ft:gpt-4.1-2025-04-14:acme-app::BPsYjUR8",
            ModelForm.FINE_TUNE,
            "gpt-4.1-2025-04-14",
            "acme-app",
            None,
            None,
        ),
        (
            "ft:gpt-4.1-2025-04-14:personal:sharp-pluck:CZtsdFlR:ckpt-step-16",
            ModelForm.CHECKPOINT,
            "gpt-4.1-2025-04-14",
            "personal",
            "sharp-pluck",
            16,
        ),
        (
            "ft:o4-mini-2025-04-16:acme:user-goals:CfOWayPc",
            ModelForm.FINE_TUNE,
            "o4-mini-2025-04-16",
            "acme",
            "user-goals",
            None,
        ),
        ("davinci:ft-acme-2022-12-22-07-26-01", ModelForm.LEGACY, "davinci", None, None, None),
        ("curie:ft-acmeco-2021-03-03-21-44-20", ModelForm.LEGACY, "curie", None, None, None),
        ("gpt-4.1-mini-2025-04-14.ft-0a1b2c3d", ModelForm.AZURE, "gpt-4.1-mini-2025-04-14", None, None, None),
        ("ft:gpt-4o-2024-08-06", ModelForm.FINE_TUNE, "gpt-4o-2024-08-06", None, None, None),
        ("ft:gpt-4o-2024-08-06:acme", ModelForm.FINE_TUNE, "gpt-4o-2024-08-06", "acme", None, None),
    ],
)
def test_every_published_form_is_read(model_id, form, base, organization, suffix, step):
    """Each form of a fine-tuned model's id is told apart and read into its parts."""
    model = FineTunedModel.parse(model_id)
    assert model is not None
    assert (model_id, form, base) == (model.id, model.form, model.base)
    assert (organization, suffix, step) == (model.organization, model.suffix, model.step)


@pytest.mark.parametrize(
    "model_id",
    [
        "gpt-4o-mini-2024-07-18",
        "left:right",
        "ft",
        "ft:",
        "ft::acme::x",
        "drift",
        "soft-ft",
        "",
        None,
        7,
        ["ft:gpt-4o:a::b"],
        "ft:gpt-4o:acme::A\nB",
        "ft:gpt 4o:acme::AB",
        "ft:gpt-4o:acme::\x07",
        "ft:a:b:c:d:e:f",
        "ft:" + "a" * MAX_MODEL_ID_LENGTH,
    ],
)
def test_other_models_are_not_taken_for_fine_tunes(model_id):
    """Base models, fragments, control characters, other types and endless ids are no fine-tuned models."""
    assert FineTunedModel.parse(model_id) is None


@pytest.mark.parametrize(
    ("model_id", "day"),
    [
        ("gpt-4o-mini-2024-07-18", date(2027, 1, 14)),
        ("ft:gpt-4o-mini-2024-07-18:acme::AbC123xY", date(2027, 1, 14)),
        ("gpt-3.5-turbo-1106", date(2026, 9, 28)),
        ("ft:gpt-3.5-turbo-1106:acme::AbC123xY", date(2026, 10, 23)),
        ("ft:gpt-4-0613:acme::AbC123xY", date(2026, 10, 23)),
        ("gpt-6-luna", None),
        ("ft:gpt-4:acme::AbC123xY", None),
    ],
)
def test_shutdown_dates_are_those_of_the_whole_name(model_id, day):
    """A base and its fine-tunes have dates of their own, and a name's beginning is not the name."""
    assert day == published_catalog().shutdown_of(model_id)


@pytest.mark.parametrize(
    ("model_id", "base"),
    [
        ("ft:gpt-4-0613:acme::AbC123xY", "gpt-4-0613"),
        ("ft:gpt-4-0613:acme::AbC123xY:ckpt-step-16", "gpt-4-0613"),
        ("davinci:ft-acme-2022-12-22-07-26-01", "davinci"),
        ("gpt-4-0613", "gpt-4-0613"),
        ("no model\n", "no model\n"),
    ],
)
def test_the_base_of_any_model(model_id, base):
    """A fine-tune has its base's name in its id; whatever else an id is, it stands for itself."""
    assert base == base_of(model_id)


def test_the_row_of_a_base_model():
    """A row is found by a base model's whole name only, and has both days and the replacement."""
    row = published_catalog().lifetime_of("gpt-3.5-turbo-1106")
    assert row is not None
    assert (date(2026, 9, 28), date(2026, 10, 23)) == (row.shutdown, row.fine_tunes_shutdown)
    assert "gpt-5.6-terra" == row.replacement
    assert published_catalog().lifetime_of("gpt-3.5-turbo") is None
    assert published_catalog().lifetime_of("ft:gpt-3.5-turbo-1106:acme::AbC123xY") is None
