from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    LlavaNextConfig,
    LlavaNextImageProcessorPil,
    LlavaNextModel,
    LlavaNextProcessor,
    SiglipImageProcessorPil,
)
from transformers.image_processing_utils import select_best_resolution

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava_next import llava_next_layouts
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import image_states, picture
from tests.tiny_models.llava import llava_tokenizer

CLIP, SIGLIP = ("clip_vision_model", "default"), ("siglip_vision_model", "full")
USUAL = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
GRANITE = [[rows * 384, columns * 384] for rows in range(1, 11) for columns in range(1, 11) if rows * columns <= 10]
SIZES_HW = [(480, 640), (1000, 300), (31, 700), (1, 1), (672, 672), (673, 671), (20, 1900), (1300, 100)]


def make_config(*, side, patch_size, pinpoints, tower=SIGLIP):
    vision = {"model_type": tower[0], "patch_size": patch_size, "image_size": side}
    return LlavaNextConfig(
        vision_config=vision,
        image_token_index=9,
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy=tower[1],
    )


def make_image_processor(*, side, pinpoints, crop=None, **options):
    square = {"height": crop or side, "width": crop or side}
    return LlavaNextImageProcessorPil(
        size={"height": side, "width": side}, crop_size=square, image_grid_pinpoints=pinpoints, **options
    )


def make_inputs(size_hw, *, tokens, tiles, side):
    ids = torch.full((1, tokens), 9)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.empty(1, tiles + 1, 3, side, side, device="meta"),
        "image_sizes": torch.tensor([size_hw]),
    }


def layout_of(size_hw, *, side, patch_size, pinpoints, tokens, tiles):
    return llava_next_layouts(
        make_config(side=side, patch_size=patch_size, pinpoints=pinpoints),
        SimpleNamespace(image_processor=make_image_processor(side=side, pinpoints=pinpoints)),
        make_inputs(size_hw, tokens=tokens, tiles=tiles, side=side),
        [[size_hw]],
    )[0]


STRIPS = {"side": 5, "patch_size": 2, "pinpoints": [[5, 10]], "tiles": 2}
"""Two tiles of 5 pixels with 2 patches of 2; the last pixel of each is seen by none."""


class TestByHand:
    def test_rows_run_through_tiles_and_end_in_a_newline(self):
        found = layout_of((5, 10), tokens=14, **STRIPS)
        assert found.positions.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12]
        assert found.tile.tolist() == [WHOLE_PICTURE] * 4 + [0] * 8
        assert found.grid_hw == {(0, WHOLE_PICTURE): (2, 2), (0, 0): (2, 4)}
        whole = [[0, 0, 0.4, 0.4], [0.4, 0, 0.8, 0.4], [0, 0.4, 0.4, 0.8], [0.4, 0.4, 0.8, 0.8]]
        first_row = [[0, 0, 0.2, 0.4], [0.2, 0, 0.4, 0.4], [0.5, 0, 0.7, 0.4], [0.7, 0, 0.9, 0.4]]
        np.testing.assert_allclose(found.boxes[:8], [*whole, *first_row], atol=1e-12)

    def test_padding_is_cut_off(self):
        """The picture lies on pixels 2 to 7 of 10, so tokens on 2 to 4 and 5 to 7 are left."""
        found = layout_of((10, 10), tokens=10, **STRIPS).view("tiles")
        assert found.positions.tolist() == [4, 5, 7, 8]
        by_hand = [[0, 0, 0.4, 0.4], [0.6, 0, 1, 0.4], [0, 0.4, 0.4, 0.8], [0.6, 0.4, 1, 0.8]]
        np.testing.assert_allclose(found.boxes, by_hand, atol=1e-12)

    def test_newlines_remain_of_a_picture_that_is_thinner_than_a_patch(self):
        found = layout_of((20, 4), tokens=6, **STRIPS)
        assert found.positions.tolist() == [0, 1, 2, 3]
        assert found.grid_hw == {(0, WHOLE_PICTURE): (2, 2)}

    def test_rectangles_end_at_the_pictures_edge(self):
        """The picture lies on pixels 3 to 6 of 10; tokens see 2 to 4 and 5 to 7."""
        found = layout_of((10, 5), tokens=10, **STRIPS).view("tiles")
        np.testing.assert_allclose(found.boxes[:2, [0, 2]], [[0, 1 / 3], [2 / 3, 1]], atol=1e-12)


@pytest.mark.parametrize(
    ("side", "patch_size", "pinpoints", "tower"),
    [pytest.param(336, 14, USUAL, CLIP, id="clip"), pytest.param(384, 14, GRANITE, SIGLIP, id="granite")],
)
@pytest.mark.parametrize("size_hw", SIZES_HW, ids=lambda size: "x".join(map(str, size)))
def test_published_sizes_are_packed_as_the_layout_says(side, patch_size, pinpoints, tower, size_hw):
    """Patches that carry their own place go through the model's packing; the processor's pixels say where it is."""
    config = make_config(side=side, patch_size=patch_size, pinpoints=pinpoints, tower=tower)
    image_processor = make_image_processor(side=side, pinpoints=pinpoints, do_normalize=False)
    start, length, grid = picture_on_plane(image_processor, size_hw)
    packed = packed_places(LlavaNextModel, config, size_hw, grid)
    inputs = make_inputs(size_hw, tokens=len(packed), tiles=grid[0] * grid[1], side=side)
    processor = make_processor(image_processor, config)
    assert processor.replace_image_token({**inputs, "image_sizes": [size_hw]}, 0) == "<image>" * len(packed)
    found = llava_next_layouts(config, processor, inputs, [[size_hw]])[0]
    assert found.positions.tolist() == np.flatnonzero(packed[:, 0] >= 0).tolist()
    corners = np.concatenate([packed[found.positions, :2] - patch_size / 2] * 2, axis=1)
    corners[:, 2:] += patch_size
    whole = found.tile == WHOLE_PICTURE
    expected = np.where(whole[:, None], corners / side, (corners - np.tile(start, 2)) / np.tile(length, 2))
    np.testing.assert_allclose(found.boxes, np.clip(expected[:, [1, 0, 3, 2]], 0, 1), atol=1e-6)


def make_processor(image_processor, config):
    tower = config.vision_config
    return LlavaNextProcessor(
        image_processor=image_processor,
        tokenizer=llava_tokenizer(),
        patch_size=tower.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(tower.model_type == CLIP[0]),
    )


def picture_on_plane(image_processor, size_hw):
    """Where the processor puts a white picture on the plane of tiles: start, length, rows and columns of tiles."""
    tiles = image_processor(Image.new("RGB", size_hw[::-1], "white"), return_tensors="np")["pixel_values"][0][1:, 0]
    side = tiles.shape[-1]
    rows, columns = (edge // side for edge in select_best_resolution(size_hw, image_processor.image_grid_pinpoints))
    plane = tiles.reshape(rows, columns, side, side).transpose(0, 2, 1, 3).reshape(rows * side, columns * side)
    y, x = np.nonzero(plane)
    start = np.array([y.min(), x.min()])
    return start, np.array([y.max(), x.max()]) + 1 - start, (rows, columns)


def packed_places(model_class, config, size_hw, grid):
    """Pack features that are each patch's centre (y, x) in pixels; newlines are -1."""
    side, patch_size = config.vision_config.image_size, config.vision_config.patch_size
    centres = (np.arange(side // patch_size) + 0.5) * patch_size
    y, x = (axis.reshape(-1) for axis in np.meshgrid(centres, centres, indexing="ij"))
    tiles = [
        np.stack([y + row * side, x + column * side], axis=1) for row in range(grid[0]) for column in range(grid[1])
    ]
    features = torch.tensor(np.stack([np.stack([y, x], axis=1), *tiles]))
    strategy = {"vision_feature_select_strategy": config.vision_feature_select_strategy}
    packed, _ = model_class.pack_image_features(
        SimpleNamespace(config=config),
        [features],
        torch.tensor([size_hw]),
        image_newline=torch.tensor([-1.0, -1.0], dtype=features.dtype),
        **(strategy if model_class is LlavaNextModel else {"vision_aspect_ratio": config.vision_aspect_ratio}),
    )
    return packed[0].numpy()


@pytest.mark.parametrize("size_hw", [(10, 900), (900, 10)])
def test_a_very_thin_picture_enters_as_a_whole_alone(tiny_model, size_hw):
    loaded = tiny_model("llava_next-clip")
    batch = encode(loaded, [picture(size_hw)], ["What?"])
    assert batch.layouts[0].grid_hw == {(0, WHOLE_PICTURE): (6, 6)}
    assert image_states(loaded, batch.inputs).isfinite().all()


@pytest.mark.parametrize("changed", [0, 1])
def test_tokens_belong_to_their_own_picture(tiny_model, changed):
    loaded = tiny_model("llava_next-granite")
    pictures = [picture((60, 90)), picture((90, 40))]
    batch = encode(loaded, [pictures, [picture((64, 64))]], ["What?", "What?"])
    pictures[changed] = picture(pictures[changed].size[::-1], seed=1)
    other = encode(loaded, [pictures, [picture((64, 64))]], ["What?", "What?"])
    moved = (image_states(loaded, batch.inputs) != image_states(loaded, other.inputs)).any(dim=-1).numpy()
    assert np.array_equal(np.flatnonzero(moved[0]), batch.layouts[0].of_image(changed).positions)
    assert not moved[1].any()


SMALL = {"side": 4, "pinpoints": [[4, 8]]}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(
            {"tower": ("siglip_vision_model", "default")},
            "'siglip_vision_model' with vision_feature_select_strategy='default'.*expected 'clip_vision_model' with",
            id="a patch would be dropped",
        ),
        pytest.param({"tower": ("clip_vision_model", "full")}, "Where other features lie", id="a class token is kept"),
        pytest.param({"tower": ("pixtral", "full")}, "Vision tower 'pixtral'", id="unknown tower"),
        pytest.param(
            {"image_processor": SiglipImageProcessorPil()},
            "Unknown image processor in a 'llava_next' model: SiglipImageProcessor; expected one of LlavaNext",
            id="image processor",
        ),
        pytest.param(
            {"image_processor": make_image_processor(**SMALL, crop=6)},
            r"settings \(4, 4, 6, 6\), processed \(4, 4\); expected 4 x 4 pixels",
            id="crop",
        ),
        pytest.param({"side": 6}, r"processed \(6, 6\); expected 4 x 4 pixels", id="processed side"),
        pytest.param({"taken": (4, 9)}, r"took pictures of \[\[4, 9\]\]; expected \[\[4, 8\]\]", id="sizes"),
        pytest.param(
            {"image_processor": make_image_processor(side=4, pinpoints=[[8, 4]])},
            r"picture of 4 x 8 pixels the processor takes \(8, 4\) and the model \(4, 8\); expected the same",
            id="arrangements",
        ),
        pytest.param(
            {"image_processor": make_image_processor(side=4, pinpoints=[[4, 9]]), "pinpoints": [[4, 9]]},
            "in multiples of 4",
            id="no whole tiles",
        ),
        pytest.param({"tiles": 3}, "made at most 4 tiles a picture; expected 3", id="number of tiles"),
        pytest.param({"tokens": 13}, r"found 13 tokens, expected 2 x 2 \+ 2 x \(4 \+ 1\) = 14", id="tokens"),
    ],
)
def test_what_does_not_add_up_is_refused(change, match):
    config = make_config(
        side=4, patch_size=2, pinpoints=change.get("pinpoints", SMALL["pinpoints"]), tower=change.get("tower", SIGLIP)
    )
    processor = SimpleNamespace(image_processor=change.get("image_processor", make_image_processor(**SMALL)))
    inputs = make_inputs(
        change.get("taken", (4, 8)),
        tokens=change.get("tokens", 14),
        tiles=change.get("tiles", 2),
        side=change.get("side", 4),
    )
    with pytest.raises(UnsupportedModelError, match=match):
        llava_next_layouts(config, processor, inputs, [[(4, 8)]])
