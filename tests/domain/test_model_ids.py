"""The ids of fine-tuned models."""

from __future__ import annotations

import pytest

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH, FineTunedModel, ModelForm, base_of


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
