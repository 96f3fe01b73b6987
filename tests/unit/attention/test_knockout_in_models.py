import contextlib
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import DynamicCache

from headimpact.attention.capture import capture_attention
from headimpact.attention.interception import AttentionCall, replace_attention
from headimpact.attention.knockout import knock_out
from headimpact.attention.queries import response_rows
from headimpact.models.prompts import encode
from tests.unit.attention.silenced import slow_output
from tests.unit.attention.test_capture import surroundings


class Sample:
    """One encoded batch of a model, and how to run it as it is and with heads knocked out."""

    def __init__(self, loaded, *, side: Literal["left", "right"] = "left") -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
        texts = ["a red circle", "a large square near the top of the background"]
        images = [Image.fromarray(picture) for picture in pixels]
        self.batch = encode(loaded, images, ["What?", "Describe it."], texts, padding_side=side)
        self.modules = loaded.family.attention_modules(loaded.model)
        self.heads = dict(zip(self.modules, [[1], [0, 3], [2]], strict=False))
        self.keys = [torch.from_numpy(layout.positions) for layout in self.batch.layouts]
        self.queries = response_rows(self.batch.response_spans)
        self.backbone = loaded.family.backbone(loaded.model)

    def run(self) -> torch.Tensor:
        """Hidden states of all rows that are no padding."""
        with torch.no_grad():
            hidden = self.backbone(**self.batch.inputs, use_cache=False).last_hidden_state
        found: torch.Tensor = hidden[self.batch.inputs["attention_mask"].bool()]
        return found

    def knocked_out(self, **options) -> torch.Tensor:
        with knock_out(self.modules, self.heads, **{"keys": self.keys, **options}):
            return self.run()

    def knocked_out_slowly(self, **options) -> torch.Tensor:
        """The same by the plain twin, from the weights that eager attention itself returned."""
        wanted = {"keys": self.keys, "queries": None, "knockout": "renormalize", **options}

        def replace(layer: int, call: AttentionCall, output: torch.Tensor) -> torch.Tensor:
            assert call.weights is not None
            return slow_output(call.weights, call.value, self.heads.get(layer, []), **wanted)

        with replace_attention(self.modules, replace):
            return self.run()


@pytest.fixture(autouse=True)
def _left_as_it_was():
    before = surroundings()
    yield
    assert surroundings() == before


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl", "gemma3", "mllama"])
def test_models_run_as_eager_attention_with_these_weights_changed(tiny_model, name, side):
    samples = [Sample(tiny_model(name, attn_implementation=given), side=side) for given in ("eager", "sdpa")]
    plain = samples[0].run()
    for knockout, queries in [("zero", None), ("uniform", None), ("renormalize", samples[0].queries)]:
        expected = samples[0].knocked_out_slowly(knockout=knockout, queries=queries)
        for sample in samples:
            found = sample.knocked_out(knockout=knockout, queries=queries)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(expected, plain, atol=1e-3)


def test_renormalized_is_what_the_model_computes_where_its_mask_hides_the_picture(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    sample.heads = {layer: [0, 1, 2, 3] for layer in sample.modules}
    inputs, real = sample.batch.inputs, sample.batch.inputs["attention_mask"].bool()
    length = real.shape[1]
    inputs["position_ids"] = (real.cumsum(dim=1) - 1).clamp_min(0)
    queries = [torch.arange(int(rows[0]), length) for rows in sample.queries]
    seen = real[:, None, None] & torch.ones(length, length, dtype=torch.bool).tril()
    for row, keys in enumerate(sample.keys):
        seen[row, :, queries[row][0] :, keys] = False
    with torch.no_grad():
        embeddings = sample.backbone.get_input_embeddings()(inputs["input_ids"])
        features = sample.backbone.get_image_features(inputs["pixel_values"]).pooler_output
        for row, keys in enumerate(sample.keys):
            embeddings[row, keys] = features[row]
        hidden = sample.backbone.language_model(
            inputs_embeds=embeddings, attention_mask=seen, position_ids=inputs["position_ids"], use_cache=False
        ).last_hidden_state
    torch.testing.assert_close(sample.knocked_out(queries=queries), hidden[real], atol=1e-5, rtol=1e-5)


def test_the_model_is_as_it_was_also_after_an_exception(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    plain, before = sample.run(), surroundings()
    with pytest.raises(ZeroDivisionError), knock_out(sample.modules, sample.heads, keys=sample.keys):
        assert not torch.equal(sample.run(), plain)
        raise ZeroDivisionError
    assert surroundings() == before
    assert torch.equal(sample.run(), plain)


def test_nested_knockouts_add_up(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    together = sample.knocked_out()
    with contextlib.ExitStack() as stack:
        for layer, head in [(1, 3), (2, 2), (0, 1), (1, 0)]:
            stack.enter_context(knock_out(sample.modules, {layer: [head]}, keys=sample.keys))
        torch.testing.assert_close(sample.run(), together, atol=1e-6, rtol=1e-6)


def test_a_capture_sees_what_reaches_a_layer(tiny_model):
    """Attention is what it was up to the first layer that is knocked out, and another behind it."""
    sample = Sample(tiny_model("llava-siglip"))

    def maps() -> torch.Tensor:
        with capture_attention(sample.modules, queries=sample.queries, keys=sample.keys) as captured:
            sample.run()
        found: torch.Tensor = captured.maps[0]
        return found

    plain = maps()
    with knock_out(sample.modules, {1: [0, 1, 2, 3]}, keys=sample.keys):
        found = maps()
    assert torch.equal(found[:2], plain[:2])
    assert not torch.allclose(found[2], plain[2], atol=1e-5)


def test_generation_with_a_cache_is_silenced_as_one_pass_is(tiny_model):
    sample = Sample(tiny_model("qwen2_5_vl"))
    inputs = {**sample.batch.inputs, "position_ids": torch.arange(sample.batch.inputs["input_ids"].shape[1])[None]}
    split = inputs["input_ids"].shape[1] - 3

    def steps() -> torch.Tensor:
        cache = DynamicCache()
        first = {**inputs, **{name: inputs[name][:, :split] for name in ("input_ids", "mm_token_type_ids")}}
        first["attention_mask"] = inputs["attention_mask"][:, :split]
        first["position_ids"] = inputs["position_ids"][:, :split]
        parts = [first]
        parts += [
            {
                "input_ids": inputs["input_ids"][:, step : step + 1],
                "attention_mask": inputs["attention_mask"][:, : step + 1],
                "position_ids": inputs["position_ids"][:, step : step + 1],
            }
            for step in range(split, split + 3)
        ]
        outputs = [sample.backbone(**part, past_key_values=cache).last_hidden_state for part in parts]
        return torch.cat(outputs, dim=1)

    with torch.no_grad(), knock_out(sample.modules, sample.heads, keys=sample.keys):
        whole = sample.backbone(**inputs, use_cache=False).last_hidden_state
        in_steps = steps()
    real = inputs["attention_mask"].bool()
    torch.testing.assert_close(in_steps[real], whole[real], atol=1e-5, rtol=1e-5)
