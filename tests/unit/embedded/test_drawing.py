import numpy as np
import pytest

from headimpact.embedded.attributes import BACKGROUNDS, COLOURS, SHAPES, SIDE, TEXTURES, covered_tokens
from headimpact.embedded.drawing import (
    Stroke,
    draw_background,
    draw_stroke,
    shape_alpha,
    shape_mask,
    texture_share,
    visible_masks,
)


def stroke(*, shape="square", colour="red", texture="plain", diameter=24, left=8, top=16) -> Stroke:
    return Stroke(shape=shape, colour=colour, texture=texture, diameter=diameter, left=left, top=top)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_their_box_and_are_mirror_images(shape):
    alpha = shape_alpha(shape, 30)
    assert np.allclose(alpha, alpha[:, ::-1], atol=0.13)
    assert 0.3 < alpha.mean() < 0.9
    rows, columns = np.nonzero(alpha > 0.2)
    assert min(rows.min(), columns.min()) <= 3
    assert max(rows.max(), columns.max()) >= 26


def test_shapes_differ_clearly():
    alphas = [shape_alpha(shape, 30) for shape in SHAPES]
    for number, one in enumerate(alphas):
        for two in alphas[:number]:
            assert abs(one - two).mean() > 0.05


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("diameter", [12, 20, 40])
def test_textures_show_both_colours_unless_plain(texture, diameter):
    share = np.asarray(texture_share(texture, diameter, np.random.default_rng(0)))
    assert share.min() >= 0
    assert share.max() <= 1
    assert (0.1 < share.mean() < 0.6) == (texture != "plain")


def test_visible_masks_are_the_painted_pixels():
    strokes = [stroke(), stroke(shape="circle", colour="blue", diameter=12, left=28, top=30)]
    canvas = np.zeros((SIDE, SIDE, 3), dtype=np.float32)
    for item in strokes:
        draw_stroke(canvas, item, np.random.default_rng(0))
    below, above = visible_masks(strokes)
    is_red, is_blue = canvas[..., 0] > canvas[..., 2], canvas[..., 2] > canvas[..., 0]
    assert not (below & above).any()
    assert (below == is_red).mean() > 0.99
    assert (above == is_blue).mean() > 0.99
    assert above.sum() == shape_mask("circle", 12).sum()
    assert below.sum() < shape_mask("square", 24).sum()


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_backgrounds_keep_away_from_object_colours(background):
    canvas = draw_background(background, np.random.default_rng(0))
    mean = canvas.mean(axis=(0, 1))
    assert abs(mean - BACKGROUNDS[background]).max() < 12
    assert min(np.linalg.norm(mean - np.array(colour)) for colour in COLOURS.values()) > 60


def test_covered_tokens_counts_halves():
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:8, :12] = True
    assert covered_tokens(mask) == 2
    mask[:8, 11] = False
    assert covered_tokens(mask) == 1
