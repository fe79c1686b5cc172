"""The ids of fine-tuned models."""

from __future__ import annotations

import pytest

from finetune_guard.domain.model_ids import MAX_MODEL_ID_LENGTH, FineTunedModel, base_of


@pytest.mark.parametrize(
    ("model_id", "form", "base", "organization", "suffix", "step"),
    [
        ("ft:gpt-4-0613:acme:support-bot:AbC123xY", "fine_tune", "gpt-4-0613", "acme", "support-bot", None),
        ("ft:gpt-4-0613:acme-app::BPsYjUR8", "fine_tune", "gpt-4-0613", "acme-app", None, None),
        ("ft:o4-mini:personal:sharp:CZt:ckpt-step-16", "checkpoint", "o4-mini", "personal", "sharp", 16),
        ("davinci:ft-acme-2022-12-22-07-26-01", "legacy", "davinci", None, None, None),
        ("gpt-4.1-2025-04-14.ft-0a1b2c3d", "azure", "gpt-4.1-2025-04-14", None, None, None),
        ("ft:gpt-4o-2024-08-06", "fine_tune", "gpt-4o-2024-08-06", None, None, None),
        ("ft:gpt-4o-2024-08-06:acme", "fine_tune", "gpt-4o-2024-08-06", "acme", None, None),
    ],
)
def test_every_published_id_form_is_parsed(model_id, form, base, organization, suffix, step):
    model = FineTunedModel.parse(model_id)
    assert (model_id, form, base) == (model.id, model.form, model.base)
    assert (organization, suffix, step) == (model.organization, model.suffix, model.step)
    assert base == base_of(model_id)


NO_MODELS = ["left:right", "ft", "ft:", "ft::acme::x", "drift", "soft-ft", "", "ft:gpt-4o:acme::A\nB"]
NO_MODELS += [
    "ft:gpt 4o:acme::AB",
    "ft:gpt-4o:acme::\x07",
    "ft:a:b:c:d:e:f",
    "ft:" + "a" * MAX_MODEL_ID_LENGTH,
]


@pytest.mark.parametrize("model_id", [*NO_MODELS, "gpt-4o-mini-2024-07-18", None, 7, ["ft:gpt-4o:a::b"]])
def test_other_text_is_not_a_fine_tuned_model(model_id):
    assert FineTunedModel.parse(model_id) is None
    if isinstance(model_id, str):
        assert model_id == base_of(model_id)
