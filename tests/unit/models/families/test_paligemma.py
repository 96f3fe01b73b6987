import copy

import pytest
import torch
from PIL import Image
from transformers.masking_utils import create_causal_mask

from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.models.loading import choose_implementation, load_model
from headimpact.models.prompts import encode

IMAGE = Image.new("RGB", (60, 40), "red")
NAMES = ["paligemma", "paligemma-capped"]


def layouts_of(loaded, *, config=None, image_processor=None, inputs=None):
    processor = copy.copy(loaded.processor)
    processor.image_processor = image_processor or processor.image_processor
    inputs = inputs or encode(loaded, [IMAGE], ["What?"]).inputs
    return loaded.family.image_token_layouts(config or loaded.config, processor, inputs, [[(40, 60)]])


class TestAttentionImplementations:
    def test_a_capped_decoder_loads_with_eager_by_itself(self, tiny_model):
        assert tiny_model("paligemma-capped").config.text_config._attn_implementation == "eager"
        assert tiny_model("paligemma").config.text_config._attn_implementation == "sdpa"

    def test_a_capped_decoder_refuses_what_leaves_capping_out(self, tiny_checkpoint):
        with pytest.raises(OptionError, match="'sdpa' is refused for 'paligemma': it leaves out the soft-capping"):
            load_model(tiny_checkpoint("paligemma-capped"), attn_implementation="sdpa")

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("asked", ["flash_attention_2", "kernels-community/flash-attn2"])
    def test_flash_is_refused(self, tiny_model, name, asked):
        loaded = tiny_model(name)
        with pytest.raises(OptionError, match="cannot hide the end of a response"):
            choose_implementation(asked, family=loaded.family, config=loaded.config)

    def test_flash_gets_no_mask_for_the_prefix(self, tiny_model):
        """The reason for the refusal: only other implementations get a mask that tells prefix from response."""
        config = copy.deepcopy(tiny_model("paligemma").config.text_config)
        blocks = torch.tensor([[0, 0, -1]])
        masks = {}
        for implementation in ("flash_attention_2", "sdpa"):
            config._attn_implementation_internal = implementation
            masks[implementation] = create_causal_mask(
                config, torch.zeros(1, 3, 32), torch.ones(1, 3), None, None, block_sequence_ids=blocks
            )
        assert masks["flash_attention_2"] is None
        assert masks["sdpa"][0, 0].tolist() == [[True, True, False], [True, True, False], [True, True, True]]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", NAMES)
def test_image_and_prompt_see_each_other_and_not_the_response(tiny_model, name, side):
    loaded = tiny_model(name)
    batch = encode(loaded, [IMAGE, IMAGE], ["What?", "A longer one?"], ["red", "a red circle"], padding_side=side)
    first, (start, end) = int(batch.layouts[0].positions[0]), batch.response_spans[0]

    def states(position):
        inputs = copy.deepcopy(dict(batch.inputs))
        if position is not None:
            inputs["input_ids"][0, position] += 1
        with torch.no_grad():
            return loaded.family.backbone(loaded.model)(**inputs, use_cache=False).last_hidden_state[0]

    before, prompt, response = states(None), states(start - 2), states(end - 1)
    assert not torch.allclose(before[first], prompt[first], atol=1e-5)
    assert torch.equal(before[first:start], response[first:start])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_generation_is_a_step_of_the_response(tiny_model, name):
    loaded = tiny_model(name)
    asked = encode(loaded, [IMAGE], ["What?"])
    tokens = loaded.model.generate(**asked.inputs, max_new_tokens=4, do_sample=False, eos_token_id=None)
    length = asked.inputs["input_ids"].shape[1]
    inputs = dict(asked.inputs)
    inputs["input_ids"] = tokens
    inputs["attention_mask"] = torch.ones_like(tokens)
    inputs["token_type_ids"] = (torch.arange(tokens.shape[1]) >= length).long()[None]
    with torch.no_grad():
        logits = loaded.model(**inputs).logits
    assert logits[0, length - 1 : -1].argmax(dim=-1).tolist() == tokens[0, length:].tolist()


class TestRefusals:
    def test_another_tower(self, tiny_model):
        loaded = tiny_model("paligemma")
        config = copy.deepcopy(loaded.config)
        config.vision_config.model_type = "clip_vision_model"
        with pytest.raises(UnsupportedModelError, match="'clip_vision_model'; expected 'siglip_vision_model'"):
            layouts_of(loaded, config=config)

    def test_another_image_processor(self, tiny_model):
        other = tiny_model("llava-clip").processor.image_processor
        with pytest.raises(UnsupportedModelError, match="CLIPImageProcessor; expected one of SiglipImageProcessor"):
            layouts_of(tiny_model("paligemma"), image_processor=other)

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            pytest.param({"do_center_crop": True}, "and do_center_crop; expected whole pictures", id="crop"),
            pytest.param({"do_pad": True}, "and do_pad; expected whole pictures", id="pad"),
            pytest.param({"do_resize": False}, "do_resize=False", id="no resize"),
            pytest.param({"size": {"height": 40, "width": 48}}, "are 48 x 48 pixels", id="size"),
            pytest.param({"size": {"shortest_edge": 48}}, "'shortest_edge': 48", id="shape kept"),
        ],
    )
    def test_other_steps(self, tiny_model, change, match):
        loaded = tiny_model("paligemma")
        settings = {**loaded.processor.image_processor.to_dict(), **change}
        image_processor = type(loaded.processor.image_processor)(**settings)
        with pytest.raises(UnsupportedModelError, match=match):
            layouts_of(loaded, image_processor=image_processor)

    def test_tokens_that_do_not_fill_the_grid(self, tiny_model):
        loaded = tiny_model("paligemma")
        inputs = dict(encode(loaded, [IMAGE], ["What?"]).inputs)
        inputs["input_ids"] = inputs["input_ids"][:, 1:]
        inputs["attention_mask"] = inputs["attention_mask"][:, 1:]
        with pytest.raises(UnsupportedModelError, match="found 35 tokens, expected 1 x 6 x 6 = 36"):
            layouts_of(loaded, inputs=inputs)


def test_a_decoder_without_capping_keeps_sdpa(tiny_model):
    loaded = tiny_model("paligemma-capped")
    config = copy.deepcopy(loaded.config)
    config.text_config.attn_logit_softcapping = None
    assert "sdpa" not in loaded.family.refused_implementations(config)
