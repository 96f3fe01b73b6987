from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.core.errors import DataFormatError
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import image_states, picture, unmix
from tests.tiny_models import TINY_MODELS

NAMES = ["qwen3_vl", "qwen3_vl_moe"]


def moved(states, inputs, index: int) -> list[int]:
    """Positions whose states change with one pixel."""
    flat = inputs["pixel_values"].view(-1)
    before, kept = states(), flat[index].item()
    flat[index] = kept + 1
    after = states()
    flat[index] = kept
    return torch.nonzero((before != after).any(dim=-1)).flatten().tolist()


@pytest.mark.parametrize("name", NAMES)
def test_features_added_in_the_decoder_stand_for_the_same_patches(name, tiny_checkpoint):
    loaded = unmix(load_model(tiny_checkpoint(name)), TINY_MODELS[name])
    inputs = encode(loaded, [picture((60, 90))], ["What?"]).inputs
    pixels = np.random.default_rng(0).integers(0, inputs["pixel_values"].numel(), 6)
    entering = [moved(lambda: image_states(loaded, inputs)[0], inputs, index) for index in pixels]
    backbone: Any = loaded.family.backbone(loaded.model)
    with torch.no_grad():
        backbone.visual.merger.linear_fc2.weight.zero_()
        for layer in backbone.language_model.layers:
            layer.self_attn.o_proj.weight.zero_()

    def leaving() -> torch.Tensor:
        with torch.no_grad():
            states: torch.Tensor = backbone(**inputs, use_cache=False).last_hidden_state
        return states[0]

    assert not any(moved(lambda: image_states(loaded, inputs)[0], inputs, index) for index in pixels)
    assert [moved(leaving, inputs, index) for index in pixels] == entering
    assert all(len(positions) == 1 for positions in entering)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 150), (150, 1), (1500, 40)], ids=lambda size: "x".join(map(str, size)))
def test_a_picture_of_extreme_shape_is_seen_whole(tiny_model, size_hw):
    image = Image.new("RGB", (size_hw[1], size_hw[0]))
    layout = encode(tiny_model("qwen3_vl"), [image], ["What?"]).layouts[0]
    np.testing.assert_allclose(layout.areas, 1 / len(layout))


def test_a_picture_too_long_for_the_processor_is_refused(tiny_model):
    with pytest.raises(DataFormatError, match="aspect ratio must be smaller than 200"):
        encode(tiny_model("qwen3_vl"), [Image.new("RGB", (300, 1))], ["What?"])
