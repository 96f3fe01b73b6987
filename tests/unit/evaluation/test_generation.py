"""Greedy and beam generation on tiny random models: batches equal single rows and a plain loop without cache."""

import dataclasses
import functools

import pytest
import torch
from PIL import Image

from headimpact.core.errors import OptionError
from headimpact.evaluation.generation import EncodedPrompts, generate_responses
from headimpact.evaluation.requests import ResponseRequest, split_blocks
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode
from tests.tiny_models import TINY_MODELS

PROMPTS = ["Describe the main object.", "What colour?", "Describe the large square near the top of it, please."]
SIZES = [(60, 44), (44, 44), (50, 90)]


@pytest.fixture(scope="module", params=["llava-siglip", "qwen2_5_vl"])
def loaded(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    TINY_MODELS[request.param].save(folder)
    return load_model(folder, device="cpu")


def picture(index):
    noise = torch.randint(0, 255, (SIZES[index][1], SIZES[index][0], 3), generator=torch.Generator().manual_seed(index))
    return Image.fromarray(noise.to(torch.uint8).numpy())


def requests():
    return [
        ResponseRequest(
            image_id=f"{index}",
            load_image=functools.partial(picture, index),
            prompt=PROMPTS[index],
            references=("a",),
            names=("b",),
        )
        for index in range(3)
    ]


def responses(loaded, block_size, **options):
    blocks = split_blocks(requests(), block_size=block_size)
    return [p for _, block in generate_responses(loaded, blocks, max_new_tokens=6, **options) for p in block]


def greedy_by_hand(loaded, request, steps=6):
    """Whole forward pass for every token, no cache, no padding."""
    encoded = encode(loaded, [request.load_image()], [request.prompt], None, padding_side="left")
    inputs = dict(encoded.inputs)
    tokens = []
    for _ in range(steps):
        with torch.inference_mode():
            logits = loaded.model(**inputs, use_cache=False).logits[0, -1]
        tokens.append(int(logits.argmax()))
        if tokens[-1] == loaded.processor.tokenizer.eos_token_id:
            break
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[tokens[-1]]])], dim=1)
        for name in ("attention_mask", "mm_token_type_ids"):
            if name in inputs:
                fill = torch.full((1, 1), 1 if name == "attention_mask" else 0, dtype=inputs[name].dtype)
                inputs[name] = torch.cat([inputs[name], fill], dim=1)
    return loaded.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def test_greedy_equals_a_plain_loop_whatever_the_batch(loaded, capfd):
    by_hand = [greedy_by_hand(loaded, request) for request in requests()]
    capfd.readouterr()
    for block_size in (1, 2, 3):
        found = responses(loaded, block_size)
        assert [p.prediction for p in found] == by_hand
    assert capfd.readouterr().out == ""
    assert [(p.image_id, p.references, p.names) for p in found] == [(str(i), ("a",), ("b",)) for i in range(3)]


def test_a_block_does_not_depend_on_the_blocks_before(loaded):
    blocks = split_blocks(requests(), block_size=1)
    whole = dict(generate_responses(loaded, blocks, max_new_tokens=4))
    assert list(whole) == [0, 1, 2]
    assert dict(generate_responses(loaded, blocks, indices=[2, 1], max_new_tokens=4)) == {1: whole[1], 2: whole[2]}
    assert dict(generate_responses(loaded, blocks, indices=[], max_new_tokens=4)) == {}


def test_kept_inputs_give_the_same_responses_and_load_every_picture_once(loaded):
    calls = []

    def count(index):
        calls.append(index)
        return picture(index)

    counted = [
        dataclasses.replace(request, load_image=functools.partial(count, n)) for n, request in enumerate(requests())
    ]
    blocks = split_blocks(counted, block_size=2)
    kept = EncodedPrompts(loaded, blocks)
    plain = responses(loaded, 2)
    for _ in range(2):
        found = [p for _, block in generate_responses(loaded, blocks, max_new_tokens=6, prompts=kept) for p in block]
        assert found == plain
    assert sorted(calls) == [0, 1, 2]


def test_dropout_is_off_while_generating_and_modes_come_back(loaded):
    plain = responses(loaded, 3)
    loaded.model.train()
    loaded.model.get_input_embeddings().eval()
    try:
        assert responses(loaded, 3) == plain
        assert loaded.model.training is True
        assert loaded.model.get_input_embeddings().training is False
    finally:
        loaded.model.eval()


def test_sampling_settings_of_the_checkpoint_change_nothing(loaded):
    plain = responses(loaded, 3)
    config = loaded.model.generation_config
    before = config.to_dict()
    config.do_sample, config.temperature, config.top_k = True, 5.0, 50
    try:
        assert responses(loaded, 3) == plain
        assert config.do_sample is True
    finally:
        config.do_sample, config.temperature, config.top_k = False, before.get("temperature"), before.get("top_k")


def test_beam_search_finds_other_responses_whatever_the_batch(loaded):
    greedy, beams = responses(loaded, 1), responses(loaded, 1, num_beams=4)
    assert any(g.prediction != b.prediction for g, b in zip(greedy, beams, strict=True))
    assert responses(loaded, 3, num_beams=4) == beams


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"max_new_tokens": 0}, "--max-new-tokens 0", id="length"),
        pytest.param({"num_beams": 0}, "--num-beams 0", id="beams"),
    ],
)
def test_refuses(loaded, options, message):
    with pytest.raises(OptionError, match=message):
        list(generate_responses(loaded, split_blocks(requests(), block_size=1), **options))
