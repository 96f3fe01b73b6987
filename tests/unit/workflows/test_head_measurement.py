"""One picture's scores from planted attention: with its sinks and without, and the maps that need no model."""

import numpy as np
import pytest
import torch

from headimpact.core.shapes import TokenBoxes
from headimpact.models.image_tokens import grid_layout
from headimpact.models.patch_grid import grid_boxes
from headimpact.scoring.donors import DonorPlan
from headimpact.scoring.head_impact import head_impact
from headimpact.workflows.captured_samples import CapturedSample
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.head_measurement import _one_by_one
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.picture_measurement import measure_capture
from tests.builders import sample

SIDE = 8
SINK, KEY = 60, (9, 10, 17, 18)
NAMES = ("head_impact", "energy_pointing", "visual_score", "image_attention", "sink_share")
OPTIONS = MeasurementOptions(scores=(*NAMES, *(f"{name}_without_sinks" for name in NAMES[:-1])), sinks=True)


def boxes() -> TokenBoxes:
    return grid_boxes(rows=SIDE, columns=SIDE, patch_hw=(1, 1), start_yx=(0, 0), plane_hw=(SIDE, SIDE))


def captured(*, sink: float) -> CapturedSample:
    """Two heads that spend 0.2 and 0.05 on the object, `sink` on one token, the rest evenly elsewhere."""
    maps = torch.zeros(1, 2, SIDE * SIDE)
    for head, share in enumerate((0.2, 0.05)):
        maps[0, head] = (0.9 - share - sink) / (SIDE * SIDE - len(KEY) - 1)
        maps[0, head, list(KEY)] = share / len(KEY)
        maps[0, head, SINK] = max(sink, 1e-4)
    peaks = torch.zeros_like(maps)
    peaks[0, 0, KEY[0]], peaks[0, :, SINK] = 0.25, 0.5
    layout = grid_layout(np.arange(SIDE * SIDE), boxes(), rows=SIDE, columns=SIDE)
    return CapturedSample(maps, torch.ones(1, 2, dtype=torch.bool), layout, (0,), 1, peaks)


@pytest.fixture(name="measure")
def measure_with(tmp_path):
    rows = ["." * SIDE, ".##.....", ".##.....", *["." * SIDE] * 5]
    own = sample(tmp_path, *rows, image_id="own")
    other = sample(tmp_path, *reversed(rows), image_id="other")
    donors = DonorMasks.of([own, other], donors=1, seed=0)
    return lambda capture: measure_capture(own, capture, donors, OPTIONS)


def test_scores_without_sinks_are_those_of_the_other_tokens(measure):
    capture = captured(sink=0.4)
    found = measure(capture)
    kept = torch.arange(SIDE * SIDE) != SINK
    coverage = torch.isin(torch.arange(SIDE * SIDE), torch.tensor(KEY)).double()[None]
    expected = head_impact(capture.maps[..., kept], coverage[:, kept], torch.ones(int(kept.sum())))[0]
    np.testing.assert_allclose(found["head_impact_without_sinks"].own, expected, atol=1e-6)
    np.testing.assert_allclose(found["head_impact"].own, [[3 / 5, 3 / 5]], atol=1e-6)
    np.testing.assert_allclose(expected, [[1.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(found["energy_pointing"].own, [[0.2 / 0.9, 0.05 / 0.9]], atol=1e-6)
    np.testing.assert_allclose(found["energy_pointing_without_sinks"].own, [[0.2 / 0.5, 0.05 / 0.5]], atol=1e-6)
    np.testing.assert_allclose(found["image_attention_without_sinks"].own, [[0.5, 0.5]], atol=1e-6)
    np.testing.assert_allclose(found["sink_share"].own, [[0.4 / 0.9] * 2], atol=1e-6)
    np.testing.assert_allclose(found["visual_score"].own, [[0.25 / 4, 0.0]], atol=1e-6)


def test_the_sinks_are_a_map_of_their_own(measure):
    found = measure(captured(sink=0.4))
    assert list(found["energy_pointing"].baselines) == ["uniform", "centre", "sinks"]
    assert found["energy_pointing"].baselines["sinks"].tolist() == [0.0] * 3
    assert found["energy_pointing"].baselines["uniform"].tolist() == pytest.approx([4 / 64] * 3)
    assert list(found["energy_pointing_without_sinks"].baselines) == ["uniform", "centre"]
    assert found["visual_score"].baselines["uniform"].tolist() == pytest.approx([4 / 64 / 4] * 3)


def test_the_own_mask_is_measured_once_more_as_the_donors_are(tmp_path):
    # Its cells end inside those of the plane: laid on the tokens by way of the plane it is blurred, like any donor.
    rows = ["..........", *["..###....."] * 3, *[".........."] * 6]
    own, other = (sample(tmp_path, *rows[shift:], *rows[:shift], image_id=str(shift)) for shift in (0, 5))
    donors = DonorMasks.of([own, other], donors=1, seed=0)
    found = measure_capture(own, captured(sink=0.4), donors, MeasurementOptions(scores=("energy_pointing",)))
    assert not isinstance(found, str)
    scores = found["energy_pointing"]
    assert scores.donor_ids == ("0", "5")
    assert scores.donors[0] == pytest.approx(scores.own, abs=0.2)
    assert scores.baselines["uniform"][1] == scores.baselines["uniform"][2]


def test_a_picture_without_donors_is_held_against_its_own_mask_alone(tmp_path):
    own = sample(tmp_path, *["." * SIDE], ".##.....", ".##.....", *["." * SIDE] * 5, image_id="own")
    alone = DonorMasks(DonorPlan((("own",),), seed=0), planes={})
    found = measure_capture(own, captured(sink=0.4), alone, MeasurementOptions(scores=("head_impact",)))
    assert not isinstance(found, str)
    assert (found["head_impact"].donor_ids, found["head_impact"].donors.shape) == ((), (0, 1, 2))
    np.testing.assert_allclose(found["head_impact"].own, [[3 / 5, 3 / 5]], atol=1e-6)


def test_a_picture_without_sinks_changes_nothing(measure):
    found = measure(captured(sink=0.0))
    for name in NAMES[:-1]:
        again = found[f"{name}_without_sinks"]
        assert np.array_equal(again.own, found[name].own)
        assert np.array_equal(again.donors, found[name].donors)
    assert not found["sink_share"].own.any()
    assert np.isnan(found["energy_pointing"].baselines["sinks"]).all()


def test_batches_show_the_same_pictures_response_after_response():
    groups = _one_by_one([("a", "b"), ("c", "d"), ("e",), ("f", "g", "h")], rows=2)
    assert [groups[start : start + 2] for start in range(0, 4, 2)] == [
        [(0, ("a",)), (1, ("c",))],
        [(0, ("b",)), (1, ("d",))],
    ]
    assert groups[4:] == [(2, ("e",)), (3, ("f",)), (3, ("g",)), (3, ("h",))]
