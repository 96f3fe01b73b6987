import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Idefics3Config, Idefics3ImageProcessorPil, SiglipImageProcessorPil

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.idefics3 import idefics3_layouts
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import image_states, picture


class Processor:
    def __init__(self, image_processor) -> None:
        self.image_processor = image_processor


def tiler(**options):
    return Idefics3ImageProcessorPil(**{"size": {"longest_edge": 8}, "max_image_size": {"longest_edge": 4}, **options})


def layouts(image_processor, sizes_hw, *, patch_size=1, scale_factor=2, tokens=None, images=None):
    """Layouts of one row of pictures; tokens are as many as the model has features, unless told otherwise."""
    images = images or [picture(size) for size in sizes_hw]
    done = image_processor([images], return_tensors="pt", return_row_col_info=True)
    tiles = sum(rows * columns + 1 for rows, columns in zip(done["rows"][0], done["cols"][0], strict=True))
    side = done["pixel_values"].shape[-1] // patch_size // scale_factor
    ids = torch.full((1, tokens if tokens is not None else tiles * side**2), 9)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": done["pixel_values"]}
    config = Idefics3Config(
        vision_config={"patch_size": patch_size, "image_size": 4}, image_token_id=9, scale_factor=scale_factor
    )
    found = idefics3_layouts(config, Processor(image_processor), inputs, [sizes_hw])[0]
    return found, list(zip(done["rows"][0], done["cols"][0], strict=True))


def test_tiles_run_row_by_row_and_the_whole_picture_is_last():
    found, grids = layouts(tiler(), [(30, 60)])
    assert grids == [(1, 2)]
    assert found.tile.tolist() == [0] * 4 + [1] * 4 + [WHOLE_PICTURE] * 4
    by_hand = [
        [0, 0, 0.25, 0.5], [0.25, 0, 0.5, 0.5], [0, 0.5, 0.25, 1], [0.25, 0.5, 0.5, 1],
        [0.5, 0, 0.75, 0.5], [0.75, 0, 1, 0.5], [0.5, 0.5, 0.75, 1], [0.75, 0.5, 1, 1],
        [0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1],
    ]  # fmt: skip
    np.testing.assert_allclose(found.boxes, by_hand, atol=1e-12)


def test_a_side_that_is_no_multiple_of_the_patch_leaves_a_strip_in_every_tile():
    image_processor = tiler(size={"longest_edge": 10}, max_image_size={"longest_edge": 5})
    found, _ = layouts(image_processor, [(20, 60)], patch_size=2)
    np.testing.assert_allclose(found.boxes, [[0, 0, 0.4, 0.8], [0.5, 0, 0.9, 0.8], [0, 0, 0.8, 0.8]], atol=1e-12)
    assert found.view("tiles").areas.sum() == pytest.approx(0.64)


@pytest.mark.parametrize(
    "image_processor",
    [
        pytest.param(tiler(size={"longest_edge": 4}), id="resized to one tile"),
        pytest.param(tiler(do_resize=False), id="smaller than a tile"),
        pytest.param(tiler(do_image_splitting=False), id="splitting off"),
    ],
)
def test_a_picture_that_is_not_cut_enters_as_a_whole(image_processor):
    found, grids = layouts(image_processor, [(3, 4)])
    assert grids == [(0, 0)]
    assert set(found.tile.tolist()) == {WHOLE_PICTURE}
    assert found.areas.sum() == 1


SETTINGS = [
    pytest.param(tiler(size={"longest_edge": 48}, max_image_size={"longest_edge": 12}), id="even"),
    pytest.param(tiler(size={"longest_edge": 33}, max_image_size={"longest_edge": 11}), id="odd, rounded up to even"),
    pytest.param(tiler(size={"longest_edge": 50}, max_image_size={"longest_edge": 12}), id="no whole tiles"),
    pytest.param(tiler(size={"height": 20, "width": 50}, max_image_size={"longest_edge": 12}), id="one shape for all"),
    pytest.param(tiler(do_resize=False, max_image_size={"longest_edge": 30}), id="not resized first"),
]


@pytest.mark.parametrize("image_processor", SETTINGS)
def test_tiles_are_those_that_the_processor_cut(image_processor):
    rng = np.random.default_rng(0)
    for sizes in rng.integers(2, 130, (20, 2, 2)).tolist():
        sizes_hw = [(height, width) for height, width in sizes]
        found, grids = layouts(image_processor, sizes_hw, patch_size=2, scale_factor=1)
        for index, (rows, columns) in enumerate(grids):
            own = found.of_image(index)
            tiles = own.view("tiles")
            assert sorted(set(tiles.tile.tolist())) == list(range(rows * columns))
            starts = {tuple(tiles.boxes[tiles.tile == tile][0, :2].tolist()) for tile in range(rows * columns)}
            assert starts == {(column / columns, row / rows) for row in range(rows) for column in range(columns)}
            assert own.tile[-1] == WHOLE_PICTURE


def test_the_processors_own_count_is_not_relied_on():
    image_processor = tiler(size={"longest_edge": 50}, max_image_size={"longest_edge": 12})
    _, grids = layouts(image_processor, [(48, 50)])
    _, *counted = image_processor.get_number_of_image_patches(48, 50, {"size": {"longest_edge": 50}})
    assert grids == [(5, 5)]
    assert tuple(counted) != grids[0]


@pytest.mark.parametrize(
    ("image_processor", "options", "match"),
    [
        pytest.param(
            SiglipImageProcessorPil(size={"height": 4, "width": 4}),
            {},
            "Unknown image processor in a 'idefics3' model: SiglipImageProcessor; expected one of Idefics3",
            id="image processor",
        ),
        pytest.param(tiler(), {"side": 6}, "tiles are 6 x 6 pixels, expected 4 x 4", id="tile size"),
        pytest.param(tiler(), {"scale": 3}, "4 patches a side, expected a multiple of scale_factor=3", id="merging"),
        pytest.param(tiler(), {"tiles": 2}, r"made 2 tiles .*expected \(1 x 2 \+ 1\) = 3", id="number of tiles"),
    ],
)
def test_what_does_not_add_up_is_refused(image_processor, options, match):
    ids = torch.full((1, 12), 9)
    side = options.get("side", 4)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.ones(1, options.get("tiles", 3), 3, side, side),
    }
    config = Idefics3Config(
        vision_config={"patch_size": 1, "image_size": 4}, image_token_id=9, scale_factor=options.get("scale", 2)
    )
    with pytest.raises(UnsupportedModelError, match=match):
        idefics3_layouts(config, Processor(image_processor), inputs, [[(30, 60)]])


def test_too_few_tokens_are_refused():
    with pytest.raises(UnsupportedModelError, match=r"found 11 tokens, expected \(\(1 x 2 \+ 1\)\) x 2 x 2 = 12"):
        layouts(tiler(), [(30, 60)], tokens=11)


def test_a_black_picture_is_refused_where_the_model_would_lose_it():
    with pytest.raises(UnsupportedModelError, match="a tile whose processed pixels are all 0 is lost"):
        layouts(tiler(do_normalize=False), [(30, 60)], images=[Image.new("RGB", (60, 30))])
    found, _ = layouts(tiler(), [(30, 60)], images=[Image.new("RGB", (60, 30))])
    assert len(found) == 12


def test_smolvlm_refuses_videos_and_is_printed_without_torchvision(tiny_model):
    loaded = tiny_model("smolvlm")
    assert "SmolVLMProcessor" in repr(loaded.processor)
    with pytest.raises(TypeError, match="not callable"):
        loaded.processor(text=["<video>"], videos=[np.zeros((2, 8, 8, 3), dtype=np.uint8)])


@pytest.mark.parametrize("changed", [0, 1])
def test_tokens_belong_to_their_own_picture(tiny_model, changed):
    loaded = tiny_model("smolvlm")
    pictures = [picture((60, 90)), picture((90, 40))]
    batch = encode(loaded, [pictures, [picture((64, 64))]], ["What?", "What?"])
    pictures[changed] = picture(pictures[changed].size[::-1], seed=1)
    other = encode(loaded, [pictures, [picture((64, 64))]], ["What?", "What?"])
    moved = (image_states(loaded, batch.inputs) != image_states(loaded, other.inputs)).any(dim=-1).numpy()
    layout = batch.layouts[0]
    assert np.array_equal(np.flatnonzero(moved[0]), layout.of_image(changed).positions)
    assert not moved[1].any()


def test_a_very_thin_picture_is_stretched_to_one_row_of_tiles(tiny_model):
    layout = encode(tiny_model("idefics3"), [picture((1, 3000))], ["What?"]).layouts[0]
    assert layout.grid_hw == {(0, 0): (3, 3), (0, 1): (3, 3), (0, 2): (3, 3), (0, WHOLE_PICTURE): (3, 3)}
