"""Descriptions by a tiny random model: greedy by hand, batches, and what is kept about their making."""

import dataclasses

import pytest
import torch

from headimpact.annotation.describing import PROMPT, describe_pictures
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.models.prompts import encode
from tests.unit.annotation import makers

IMAGES = [makers.noise(60, 44, 1), makers.noise(44, 44, 2), makers.noise(50, 90, 3)]


@pytest.fixture(scope="module", params=["llava-siglip", "qwen2_5_vl"])
def loaded(request, tiny_model):
    """One whose pictures all have as many tokens, and one where shorter rows are filled up."""
    return tiny_model(request.param, device="cpu")


@pytest.fixture(scope="module")
def made(loaded):
    return describe_pictures(loaded, IMAGES, max_new_tokens=6)


def greedy_by_hand(loaded, image, steps):
    """Whole forward pass for every token, no cache, no padding."""
    inputs = dict(encode(loaded, [image], [PROMPT], None).inputs)
    tokens = []
    for _ in range(steps):
        with torch.inference_mode():
            best = loaded.model(**inputs, use_cache=False).logits[0, -1].argmax().reshape(1, 1)
        tokens.append(int(best))
        if tokens[-1] == loaded.processor.tokenizer.eos_token_id:
            break
        inputs["input_ids"] = torch.cat([inputs["input_ids"], best], dim=1)
        for name, value in (("attention_mask", 1), ("mm_token_type_ids", 0)):
            if name in inputs:
                fill = torch.full((1, 1), value, dtype=inputs[name].dtype)
                inputs[name] = torch.cat([inputs[name], fill], dim=1)
    return tokens


def test_the_likeliest_tokens_one_by_one(loaded, made):
    tokenizer = loaded.processor.tokenizer
    for image, description in zip(IMAGES, made, strict=True):
        tokens = greedy_by_hand(loaded, image, 6)
        assert description.text == " ".join(tokenizer.decode(tokens, skip_special_tokens=True).split())
        assert description.is_complete == (tokens[-1] == tokenizer.eos_token_id)


def test_what_is_kept_about_its_making(loaded, made):
    for description in made:
        assert description.model == loaded.name
        assert description.revision is None
        assert description.adapter is None
        assert description.prompt == PROMPT
        assert description.max_new_tokens == 6


def test_a_revision_is_kept(loaded):
    revised = dataclasses.replace(loaded, revision="v1")
    assert describe_pictures(revised, IMAGES[:1], max_new_tokens=1)[0].revision == "v1"


def test_a_picture_does_not_depend_on_its_batch(loaded, made):
    for image, description in zip(IMAGES, made, strict=True):
        assert describe_pictures(loaded, [image], max_new_tokens=6) == [description]


def test_a_description_that_the_model_ends_is_complete(loaded, made):
    """Whatever token comes first is made the one that ends."""
    first = greedy_by_hand(loaded, IMAGES[0], 1)[0]
    options = loaded.model.generation_config
    before = options.eos_token_id
    options.eos_token_id = [before, first]
    try:
        ended = describe_pictures(loaded, IMAGES[:1], max_new_tokens=6)[0]
    finally:
        options.eos_token_id = before
    assert ended.is_complete
    assert len(ended.text) <= len(made[0].text)


def test_the_models_own_options_are_left_alone(loaded):
    before = loaded.model.generation_config.to_dict()
    describe_pictures(loaded, IMAGES[:1], max_new_tokens=2)
    assert loaded.model.generation_config.to_dict() == before


def test_no_pictures(loaded):
    assert describe_pictures(loaded, []) == []


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        pytest.param({"prompt": " "}, OptionError, r"--prompt is ' '; expected .* such as 'Describe", id="no prompt"),
        pytest.param({"max_new_tokens": 0}, OptionError, "--max-new-tokens is 0; expected 1", id="no tokens"),
        pytest.param(
            {"prompt": "<image><image><|image_pad|>"},
            DataFormatError,
            "holds the image token|marks 2",
            id="image token",
        ),
    ],
)
def test_what_cannot_be_asked(loaded, options, error, match):
    with pytest.raises(error, match=match):
        describe_pictures(loaded, IMAGES[:1], **options)
