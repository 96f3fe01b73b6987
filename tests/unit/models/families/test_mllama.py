import dataclasses
import logging

import pytest
import torch
from PIL import Image

from headimpact.attention.self_check import check_capture
from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode

SIZES_HW = [(1, 1), (1, 900), (900, 1), (40, 40), (41, 40), (39, 79), (80, 81), (7, 23), (121, 40), (1500, 700)]
PATCH = 8


def white(size_hw) -> Image.Image:
    return Image.new("RGB", (size_hw[1], size_hw[0]), "white")


@pytest.mark.parametrize("name", ["mllama", "mllama-pair"])
@pytest.mark.parametrize("size_hw", SIZES_HW, ids=lambda size: "x".join(map(str, size)))
def test_a_tokens_area_is_its_share_of_the_resized_picture_without_padding(tiny_model, name, size_hw):
    batch = encode(tiny_model(name), [white(size_hw)], ["What?"])
    tiles = batch.inputs["pixel_values"][0, 0, :, 0]
    patches = tiles.unfold(1, PATCH, PATCH).unfold(2, PATCH, PATCH)
    # White is above the mean and padding, which is black, below it.
    pixels = (patches > 0).sum(dim=(-1, -2)).flatten(1)
    with_class_tokens = torch.nn.functional.pad(pixels, (1, 0)).flatten()
    areas = torch.from_numpy(batch.layouts[0].areas)
    expected = with_class_tokens[torch.from_numpy(batch.layouts[0].positions)] / (tiles > 0).sum()
    torch.testing.assert_close(areas.float(), expected, atol=1e-6, rtol=0)


def test_a_picture_in_one_tile_enters_as_a_whole(tiny_model):
    pair = tiny_model("mllama-pair")
    square, wide = (encode(pair, [white(size)], ["What?"]).layouts[0] for size in [(64, 64), (60, 120)])
    assert set(square.tile.tolist()) == {WHOLE_PICTURE}
    assert set(wide.tile.tolist()) == {0, 1}


def test_positions_skip_class_tokens_absent_tiles_and_other_rows_pictures(tiny_model):
    rows = [[white((40, 40))], [white((40, 80)), white((40, 40))]]
    first, second = encode(tiny_model("mllama"), rows, ["What?", "What?"]).layouts
    keys_per_tile = 26
    assert first.positions.tolist() == list(range(1, 26))
    starts = [0, keys_per_tile, 4 * keys_per_tile]
    assert second.positions.tolist() == [start + key for start in starts for key in range(1, keys_per_tile)]
    assert second.image_index.tolist() == [0] * 50 + [1] * 25


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_capture_check_passes_on_cross_attention(tiny_model, caplog, implementation, dtype):
    loaded = tiny_model("mllama", attn_implementation=implementation, dtype=dtype)
    with caplog.at_level(logging.INFO, logger="headimpact"):
        check = check_capture(loaded, encode(loaded, [white((60, 90))], ["What?"], ["a red circle"]))
    assert check.output_difference == 0
    assert check.row_difference <= (1e-6 if dtype == "float32" else 1e-3)


def test_flex_attention_is_refused(tiny_checkpoint):
    with pytest.raises(OptionError, match="'flex_attention' is refused for 'mllama': torch's kernel for it aborts"):
        load_model(tiny_checkpoint("mllama"), attn_implementation="flex_attention")


def test_a_template_that_puts_text_between_pictures_hides_the_first(tiny_model):
    loaded = tiny_model("mllama")
    processor = loaded.processor
    template = processor.chat_template.replace("'<|image|>'", "'<|image|>\n'")
    parted = dataclasses.replace(loaded, processor=_with_template(processor, template))
    encode(parted, [white((40, 40))], ["What?"])
    with pytest.raises(UnsupportedModelError, match=r"it sees \[0, 1\], picture by picture, expected \[2, 1\]"):
        encode(parted, [[white((40, 80)), white((40, 40))]], ["What?"])


def _with_template(processor, template):
    changed = type(processor)(image_processor=processor.image_processor, tokenizer=processor.tokenizer)
    changed.chat_template = template
    return changed


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(
            lambda inputs: inputs.pop("cross_attention_mask"), "expected what an MllamaProcessor gives", id="no mask"
        ),
        pytest.param(
            lambda inputs: inputs.update(pixel_values=inputs["pixel_values"][0]),
            "got .*pixels of shape",
            id="pictures without tiles",
        ),
        pytest.param(
            lambda inputs: inputs.update(pixel_values=inputs["pixel_values"][..., :32]),
            "tiles are 40 x 32 pixels.*expected 40 x 40",
            id="other tiles",
        ),
        pytest.param(
            lambda inputs: inputs["aspect_ratio_ids"].fill_(5),
            r"90x60 pixels was cut otherwise.*are \(2, 1\), expected \(2, 2\)",
            id="another arrangement",
        ),
        pytest.param(
            lambda inputs: inputs["aspect_ratio_ids"].fill_(0), r"are None, expected \(2, 2\)", id="no arrangement"
        ),
        pytest.param(
            lambda inputs: inputs["cross_attention_mask"][..., 3].fill_(0),
            r"it sees \[3\], picture by picture, expected \[4\]",
            id="a tile closed",
        ),
    ],
)
def test_inputs_that_do_not_add_up_are_refused(tiny_model, change, match):
    loaded = tiny_model("mllama")
    inputs = dict(encode(loaded, [white((60, 90))], ["What?"]).inputs)
    change(inputs)
    with pytest.raises(UnsupportedModelError, match=match):
        loaded.family.image_token_layouts(loaded.config, loaded.processor, inputs, [[(60, 90)]])


def test_only_cross_attention_layers_are_scored(tiny_model):
    loaded = tiny_model("mllama")
    assert list(loaded.family.attention_modules(loaded.model)) == loaded.config.text_config.cross_attention_layers
