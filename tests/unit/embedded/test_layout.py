import hashlib

import numpy as np
import pytest

from headimpact.core.errors import UnknownNameError
from headimpact.embedded.attributes import SPLIT_CODES, Scene, covered_tokens
from headimpact.embedded.layout import AREA_RATIO, MIN_TOKENS, draw_main_scene, draw_striped_scene, scene_generator

DRAWS = {"main": draw_main_scene, "striped": draw_striped_scene}
COUNT = 120


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Scene]]:
    return {
        name: [draw(scene_generator(seed=7, split="train", index=index)) for index in range(COUNT)]
        for name, draw in DRAWS.items()
    }


def test_same_seed_same_bytes(scenes):
    for name, draw in DRAWS.items():
        again = draw(scene_generator(seed=7, split="train", index=3))
        assert again.pixels.tobytes() == scenes[name][3].pixels.tobytes()
        assert all(
            np.array_equal(one.mask, two.mask) for one, two in zip(again.objects, scenes[name][3].objects, strict=True)
        )


def test_splits_share_no_picture():
    hashes = [
        hashlib.sha256(draw_main_scene(scene_generator(seed=0, split=split, index=index)).pixels.tobytes()).digest()
        for split in SPLIT_CODES
        for index in range(60)
    ]
    assert len(set(hashes)) == len(hashes)


def test_unknown_split_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        scene_generator(seed=0, split="trian", index=0)


def test_the_key_object_is_clearly_the_largest(scenes):
    for scene in scenes["main"]:
        others = [item.area for item in scene.objects if item is not scene.key_object]
        assert scene.key_object is scene.main_object
        assert scene.key_object.area >= AREA_RATIO * max(others, default=0)


def test_the_key_object_is_the_only_striped_one_and_not_the_largest(scenes):
    for scene in scenes["striped"]:
        assert [item.texture == "striped" for item in scene.objects] == [
            item is scene.key_object for item in scene.objects
        ]
        assert scene.key_object is not scene.main_object
        assert len([item for item in scene.objects if item.area > 300]) in {3, 4}


@pytest.mark.parametrize("name", DRAWS)
def test_the_key_object_covers_enough_image_tokens(scenes, name):
    tokens = [covered_tokens(scene.key_object.mask) for scene in scenes[name]]
    assert min(tokens) >= MIN_TOKENS == 4
    assert np.median(tokens) >= 8


@pytest.mark.parametrize("name", DRAWS)
def test_masks_are_disjoint_and_never_empty(scenes, name):
    for scene in scenes[name]:
        masks = np.stack([item.mask for item in scene.objects])
        assert masks.sum(axis=0).max() == 1
        assert masks.any(axis=(1, 2)).all()


@pytest.mark.parametrize("name", DRAWS)
def test_places_follow_from_the_boxes(scenes, name):
    for scene in scenes[name]:
        for item in scene.objects:
            if item.area < 60 or scene.key_object is not item:
                continue
            rows, columns = np.nonzero(item.mask)
            row = (rows.min() + rows.max() + 1) / 2
            column = (columns.min() + columns.max() + 1) / 2
            words = item.place.split()
            assert ("top" in words) == (row < 80 / 3) or abs(row - 80 / 3) < 4
            assert ("left" in words) == (column < 80 / 3) or abs(column - 80 / 3) < 4


def test_pictures_vary(scenes):
    main = scenes["main"]
    assert {len(scene.objects) for scene in main} == {1, 2, 3, 4, 5, 6}
    assert len({scene.background for scene in main}) == 4
    for attribute, number in (("shape", 8), ("colour", 8), ("texture", 4), ("place", 9)):
        assert len({getattr(scene.key_object, attribute) for scene in main}) == number


def test_crowding_zero_leaves_the_key_object_alone():
    for index in range(10):
        scene = draw_main_scene(scene_generator(seed=0, split="pretrain", index=index), crowding=0.0)
        assert len(scene.objects) == 1
