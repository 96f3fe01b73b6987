"""Responses that continue from a prompt that ran once look where they would have looked in rows of their own."""

import pytest
import torch
from transformers import DynamicCache

from headimpact.attention.capture import capture_attention
from headimpact.attention.queries import response_rows
from headimpact.core.errors import UnsupportedModelError
from headimpact.models import seen_pictures
from headimpact.models.forward import run_backbone
from headimpact.models.prompts import encode
from headimpact.models.seen_pictures import pictures_seen_once
from headimpact.models.shared_prompts import continued, encode_shared, shares_prompts
from tests.contracts.image_oracle import picture

IMAGES = [picture((60, 90)), picture((100, 50), seed=1)]
PROMPTS = ["What colour?", "Describe the main object."]
RESPONSES = [("a red circle", "blue", "Äh, 日本 square"), ("a large square near the top of the background",)]


def maps_of_own_rows(loaded, modules):
    """Every response in a row of its own, whole: the plain way."""
    found = []
    for image, prompt, texts in zip(IMAGES, PROMPTS, RESPONSES, strict=True):
        for text in texts:
            batch = encode(loaded, [image], [prompt], [text])
            queries = response_rows(batch.response_spans)
            keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
            with torch.inference_mode(), capture_attention(modules, queries=queries, keys=keys) as captured:
                run_backbone(loaded, batch.inputs)
            found.append(captured.maps[0])
    return found


def maps_of_shared_prompts(loaded, modules):
    """The prompts once, then every response; those that fill ragged rows up are left out."""
    batch = encode_shared(loaded, IMAGES, PROMPTS, RESPONSES)
    keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
    cache = DynamicCache()
    found = []
    with torch.inference_mode():
        run_backbone(loaded, batch.inputs, cache=cache)
        for inputs, continuation in zip(continued(loaded, batch, cache), batch.continuations, strict=True):
            queries = response_rows(continuation.response_spans)
            with capture_attention(modules, queries=queries, keys=keys) as captured:
                run_backbone(loaded, inputs, cache=cache)
            found.append(captured.maps)
    return [found[rank][row] for row, texts in enumerate(RESPONSES) for rank in range(len(texts))]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_shared_prompts_change_no_map(name, tiny_model, implementation):
    eager = tiny_model(name, attn_implementation="eager")
    if not shares_prompts(eager):
        pytest.skip("the family shares no prompts")
    if implementation in eager.family.refused_implementations(eager.config):
        pytest.skip(f"{implementation} is refused for this model")
    loaded = tiny_model(name, attn_implementation=implementation)
    modules = loaded.family.attention_modules(loaded.model)
    expected = maps_of_own_rows(loaded, modules)
    found = maps_of_shared_prompts(loaded, modules)
    assert len(found) == len(expected) == 4
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_the_shared_part_and_a_continuation_are_the_row_of_its_own(tiny_model):
    loaded = tiny_model("qwen2_5_vl")
    batch = encode_shared(loaded, IMAGES[:1], PROMPTS[:1], [("a red circle", "a blue circle")])
    whole = encode(loaded, IMAGES[:1], PROMPTS[:1], ["a red circle"])
    shared, own = batch.inputs["input_ids"].shape[1], batch.continuations[0].input_ids
    assert torch.equal(torch.cat([batch.inputs["input_ids"], own], dim=1), whole.inputs["input_ids"])
    start, end = (shared + place for place in batch.continuations[0].response_spans[0])
    assert (start, end) == whole.response_spans[0]
    assert batch.continuations[0].response_spans[0][0] >= 1, "the row that predicts the first token runs with it"


def test_a_prompt_that_is_read_otherwise_beside_its_picture_is_refused(tiny_model, monkeypatch):
    loaded = tiny_model("qwen2_5_vl")
    from headimpact.models import shared_prompts

    tell = shared_prompts._tell

    def other(*args):
        told = tell(*args)
        return shared_prompts._Told(ids=(*told.ids[:-1], told.ids[-1] + 1), span=told.span)

    monkeypatch.setattr(shared_prompts, "_tell", other)
    with pytest.raises(UnsupportedModelError, match="reads its end otherwise"):
        encode_shared(loaded, IMAGES[:1], PROMPTS[:1], [("red", "blue")])


def passes(loaded, texts, *, images=IMAGES):
    """Hidden states of one batch a text."""
    states = []
    for text in texts:
        batch = encode(loaded, images, PROMPTS, [text, text])
        with torch.inference_mode():
            states.append(run_backbone(loaded, batch.inputs).last_hidden_state)
    return states


def test_the_tower_sees_the_same_pictures_once(name, tiny_model, monkeypatch):
    loaded = tiny_model(name)
    owner, method = seen_pictures._tower_call(loaded)
    original, seen = getattr(owner, method), []

    def counted(*args, **kwargs):
        seen.append(1)
        return original(*args, **kwargs)

    expected = passes(loaded, ["a red circle", "blue"])
    monkeypatch.setitem(vars(owner), method, counted)
    with pictures_seen_once(loaded):
        found = passes(loaded, ["a red circle", "blue"])
        assert len(seen) == 1
        passes(loaded, ["blue"], images=[IMAGES[1], IMAGES[0]])
        assert len(seen) == 2, "other pictures are seen anew"
    assert vars(owner)[method] is counted, "the model is left as it was"
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
