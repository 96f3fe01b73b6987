"""Image tokens are where the layout says, in the sequence and in the picture, through the real processor."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import (
    SHAPES_HW,
    changed_positions,
    clear_windows,
    correlation,
    coverage_of,
    image_states,
    moved_tokens,
    movement,
    picture,
    processed_places,
    squares,
    tokens_under,
    widened,
    wrong_boxes,
)
from tests.tiny_models import TINY_MODELS

MINIMUM_CORRELATION = 0.95


def positions_of_pixel(loaded, batch, index):
    """Which positions the layout and the order of processed pixels give to one of them; None where they do not say."""
    layout, shape = batch.layouts[0], batch.inputs["pixel_values"].shape
    touched = np.zeros(shape)
    touched.reshape(-1)[index] = 1
    if loaded.family.pixel_order == "patches":
        return set(layout.positions[touched.reshape(len(layout), -1).any(axis=1)].tolist())
    if loaded.family.pixel_order != "tiles":
        return None
    found = set()
    for values, tile in zip(touched.reshape(-1, *shape[-3:]), dict.fromkeys(layout.tile.tolist()), strict=False):
        own = layout.select(layout.tile == tile)
        rows, columns = layout.grid_hw[0, tile]
        height, width = values.shape[1] // rows, values.shape[2] // columns
        for _, y, x in np.argwhere(values):
            found |= set(own.positions[(own.grid_row == y // height) & (own.grid_column == x // width)].tolist())
    return found


def assert_told_apart(found: Mapping[str, Sequence[bool]]) -> None:
    """Hold the check itself to account: rectangles with the usual mistakes fail it."""
    assert {"transposed", "one too far"} <= set(found)
    for fault, by_trial in found.items():
        assert np.mean(by_trial) >= 0.5, f"the check must be able to fail: {fault} {by_trial}"


class TestPositions:
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_found_where_the_model_puts_image_features(self, loaded, name, side, request):
        if TINY_MODELS[name].class_tokens:
            loaded = request.getfixturevalue("unmixed")
        images = [picture(size) for size in SHAPES_HW]
        rows = [[images[0]], [images[1], images[2]], *([image] for image in images[3:])]
        batch = encode(loaded, rows, ["Describe the main object."] * len(rows), padding_side=side)
        changes = changed_positions(loaded, batch, TINY_MODELS[name])
        for row, (changed, layout) in enumerate(zip(changes, batch.layouts, strict=True)):
            assert changed == layout.positions.tolist()
            assert set(layout.image_index.tolist()) == set(range(len(rows[row])))

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_pictures_stand_where_the_prompt_marks_them(self, loaded, name, side):
        rows = [[picture((60, 90)), picture((100, 50), seed=1)], [picture((64, 64), seed=2)]]
        prompts = ["Look at <image>, then at <image>: what differs?", "What is in <image>?"]
        if not TINY_MODELS[name].interleaves:
            with pytest.raises(UnsupportedModelError, match="without text between them"):
                encode(loaded, rows, prompts, padding_side=side)
            return
        batch = encode(loaded, rows, prompts, padding_side=side)
        changes = changed_positions(loaded, batch, TINY_MODELS[name])
        for changed, layout in zip(changes, batch.layouts, strict=True):
            assert changed == layout.positions.tolist()
        layout = batch.layouts[0]
        first, second = (layout.of_image(index).positions for index in (0, 1))
        assert first.max() + len("then") < second.min(), "text stands between the pictures"
        plain = encode(loaded, rows, ["What?"] * 2, padding_side=side).layouts[0]
        np.testing.assert_array_equal(layout.boxes, plain.boxes)
        assert layout.grid_hw == plain.grid_hw

    @pytest.mark.parametrize("size_hw", SHAPES_HW, ids=lambda size: "x".join(map(str, size)))
    def test_grids_are_filled_and_inside_the_picture(self, loaded, size_hw):
        layout = encode(loaded, [picture(size_hw)], ["What?"]).layouts[0]
        assert ((layout.boxes >= 0) & (layout.boxes <= 1)).all()
        for view in ("global", "tiles"):
            assert layout.view(view).areas.sum() <= 1 + 1e-9, "tokens of one view may not overlap"
        for (image, tile), (rows, columns) in layout.grid_hw.items():
            own = layout.select((layout.image_index == image) & (layout.tile == tile))
            cells = set(zip(own.grid_row.tolist(), own.grid_column.tolist(), strict=True))
            assert cells == {(row, column) for row in range(rows) for column in range(columns)}
            assert len(own) == rows * columns

    def test_language_inputs_give_the_same_hidden_states(self, loaded):
        if loaded.family.language_inputs is None:
            pytest.skip("the family keeps no language inputs")
        rows = [[picture((60, 90))], [picture((90, 60)), picture((64, 64))]]
        batch = encode(loaded, rows, ["What?", "Describe the main object."])
        backbone = loaded.family.backbone(loaded.model)
        with torch.no_grad():
            whole = backbone(**batch.inputs, use_cache=False).last_hidden_state
            split = backbone(**loaded.family.language_inputs(backbone, batch.inputs), use_cache=False)
        assert torch.equal(whole, split.last_hidden_state)


class TestPlaces:
    """The perturbation oracle: what moves is what the layout says, and a wrong layout is told apart."""

    def test_features_move_with_coverage(self, unmixed):
        told_apart: dict[str, list[bool]] = {}
        for size_hw, square in squares(28):
            moved, layout = movement(unmixed, size_hw, square)
            expected = coverage_of(size_hw, square, layout.boxes)
            assert correlation(moved, expected) >= MINIMUM_CORRELATION, (size_hw, square)
            for fault, boxes in wrong_boxes(layout).items():
                guess = coverage_of(size_hw, square, boxes)
                told_apart.setdefault(fault, []).append(correlation(moved, guess) < MINIMUM_CORRELATION)
        assert_told_apart(told_apart)

    def test_nothing_moves_beyond_the_filters_reach(self, unmixed, name):
        for size_hw, square in squares(14):
            moved, layout = movement(unmixed, size_hw, square)
            reach = TINY_MODELS[name].filter_reach * (1 + int(np.ceil(max(size_hw) / 40)))
            near = coverage_of(size_hw, widened(square, reach), layout.boxes) > 0
            assert moved[~near].max(initial=0.0) == 0.0
            assert (moved[coverage_of(size_hw, square, layout.boxes) == 1] > 0).all()

    @pytest.mark.parametrize("size_hw", [(60, 90), (90, 60)], ids=["60x90", "90x60"])
    def test_a_window_of_processed_pixels_moves_exactly_its_tokens(self, unmixed, name, size_hw):
        """Behind the processor no filter blurs a window: those tokens move that the layout gives it, and no others."""
        if TINY_MODELS[name].tokens_per_pixel > 1:
            pytest.skip("features are resized: a token mixes those of its neighbours")
        batch = encode(unmixed, [picture(size_hw)], ["What?"])
        layout, (x, y) = batch.layouts[0], processed_places(unmixed, size_hw)
        told_apart: dict[str, list[bool]] = {}
        for window in clear_windows(layout, 3, seed=1):
            (left, right), (top, bottom) = window
            moved = moved_tokens(unmixed, batch.inputs, (x > left) & (x < right) & (y > top) & (y < bottom))
            assert moved == tokens_under(window, layout, layout.boxes), window
            for fault, boxes in wrong_boxes(layout).items():
                told_apart.setdefault(fault, []).append(moved != tokens_under(window, layout, boxes))
        assert_told_apart(told_apart)

    def test_one_processed_pixel_moves_at_most_one_token(self, unmixed, name):
        batch = encode(unmixed, [picture((60, 90))], ["What?"])
        before = image_states(unmixed, batch.inputs)[0]
        flat = batch.inputs["pixel_values"].view(-1)
        moved = []
        for index in np.random.default_rng(0).integers(0, len(flat), 20):
            kept = flat[index].item()
            flat[index] = kept + 1
            after = image_states(unmixed, batch.inputs)[0]
            flat[index] = kept
            changed = (after != before).any(dim=-1)
            moved.append(int(changed.sum()))
            expected = positions_of_pixel(unmixed, batch, index)
            if expected is not None and TINY_MODELS[name].tokens_per_pixel == 1:
                assert set(changed.nonzero().flatten().tolist()) <= expected, "another token than the layout says"
        assert max(moved) <= TINY_MODELS[name].tokens_per_pixel
        assert max(moved) > 0, "the check must be able to fail: no pixel moves any token"
