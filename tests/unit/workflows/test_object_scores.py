"""A word that names one of several key objects, held against that object's mask and the others', worked by hand."""

import dataclasses

import numpy as np
import pytest
import torch

from headimpact.data.sample import KeyObject
from headimpact.data.word_kinds import OBJECT_KINDS as KINDS
from headimpact.models.image_tokens import grid_layout
from headimpact.models.patch_grid import grid_boxes
from headimpact.workflows.captured_samples import CapturedSample
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.picture_measurement import measure_capture
from headimpact.workflows.word_rows import rows_by_object
from tests.builders import sample

OPTIONS = MeasurementOptions(scores=("energy_pointing", *(f"energy_pointing_{kind}" for kind in KINDS)), words=True)

DOG, CAT = ("##..", "##..", "....", "...."), ("...#", "...#", "....", "....")


def two_objects(folder):
    """A dog at the top left, a cat at the top right, and a third object that nobody names."""
    rows = {"dog": DOG, "cat": CAT, "hat": ("....", "....", "....", "#...")}
    parts = [sample(folder, *drawn, image_id=name).key_objects[0] for name, drawn in rows.items()]
    objects = tuple(KeyObject(name, (name,), part.mask) for name, part in zip(rows, parts, strict=True))
    return dataclasses.replace(sample(folder, *DOG, image_id="own"), key_objects=objects)


def captured(by_words):
    layout = grid_layout(
        np.arange(16),
        grid_boxes(rows=4, columns=4, patch_hw=(1, 1), start_yx=(0, 0), plane_hw=(4, 4)),
        rows=4,
        columns=4,
    )
    sees = torch.ones(1, 1, dtype=torch.bool)
    return CapturedSample(torch.full((1, 1, 16), 1 / 16), sees, layout, (0,), 1, by_words=by_words)


def looking(**shares):
    """One head that spends shares of its attention on tokens of the dog, the cat and the hat, the rest elsewhere."""
    places = {"dog": [0, 1, 4, 5], "cat": [3, 7], "hat": [12]}
    spent = torch.zeros(16)
    for name, share in shares.items():
        spent[places[name]] = share / len(places[name])
    spent[15] = 1 - sum(shares.values())
    return spent[None, None]


def measured(folder, by_words):
    own = two_objects(folder)
    other = sample(folder, "....", "....", "####", "....", image_id="other")
    found = measure_capture(own, captured(by_words), DonorMasks.of([own, other], donors=1, seed=0), OPTIONS)
    assert not isinstance(found, str)
    return [found[f"energy_pointing_{kind}"] for kind in KINDS]


def test_a_word_is_held_against_its_own_object_and_the_others(tmp_path):
    by_words = {"object_0": looking(dog=0.5, cat=0.1, hat=0.1), "object_1": looking(cat=0.3, dog=0.4)}
    own, others = measured(tmp_path, by_words)
    assert own.own[0, 0] == pytest.approx((0.5 + 0.3) / 2)
    assert others.own[0, 0] == pytest.approx((0.2 + 0.4) / 2)
    assert own.donor_ids == others.donor_ids == ("other",)
    assert own.donors.tolist() == others.donors.tolist() == [[[0.0]]]


def test_where_nothing_is_named_there_is_no_score(tmp_path):
    for found in measured(tmp_path, {}):
        assert np.isnan(found.own).all()
        assert np.isnan(found.donors).all()


def test_tokens_name_one_object_or_none(tiny_model):
    tokenizer = tiny_model("llava-siglip").processor.tokenizer
    ids = tokenizer("a red star near the sky", add_special_tokens=False)["input_ids"]
    found = rows_by_object(tokenizer, ids, [("star",), ("sky",), ("top",)])
    said = {name: "".join(tokenizer.decode([ids[row] for row in rows]).split()) for name, rows in found.items()}
    assert said == {"object_0": "star", "object_1": "sky"}
    assert rows_by_object(tokenizer, ids, [("star",)]) == {}
    assert rows_by_object(tokenizer, ids, [("star",), ("star",)]) == {}
