"""What a family cannot place it refuses in clear words: pictures of extreme shape, prompts that do not fit, videos."""

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError, UnsupportedModelError
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import correlation, coverage_of, movement, picture
from tests.contracts.test_family_geometry import MINIMUM_CORRELATION

SQUARES = {
    (1, 2000): (slice(0, 1), slice(500, 1200)),
    (2000, 1): (slice(500, 1200), slice(0, 1)),
    (1, 1): (slice(0, 1), slice(0, 1)),
    (700, 1000): (slice(100, 500), slice(300, 800)),
}
"""Height and width of a line, a post, a dot and a picture above every tiny processor's budget; which part changes."""

LINES = ((1, 2000), (2000, 1))
"""May be refused; and padded to a square, a line of one pixel may be averaged away before the tower sees it."""


def refusal_of(loaded, size_hw) -> str:
    """Why a picture of this shape is refused; empty where it is not."""
    try:
        encode(loaded, [picture(size_hw)], ["What?"])
    except DataFormatError as refusal:
        return str(refusal)
    return ""


def test_extreme_shapes_keep_their_places_or_are_refused(unmixed):
    for size_hw, square in SQUARES.items():
        if refusal := refusal_of(unmixed, size_hw):
            assert size_hw in LINES
            assert f"{size_hw[1]}x{size_hw[0]} pixels" in refusal
            continue
        moved, layout = movement(unmixed, size_hw, square)
        assert ((layout.boxes >= 0) & (layout.boxes <= 1)).all()
        seen = layout.areas > 0
        assert seen.any()
        if size_hw in LINES and not moved.any():
            continue
        expected = coverage_of(size_hw, square, layout.boxes)
        if np.ptp(expected[seen]) > 1e-6:
            assert correlation(moved, expected) >= MINIMUM_CORRELATION, size_hw
        else:  # one pixel, or a crop that lies inside the square
            np.testing.assert_allclose(moved[seen], expected[seen], atol=0.05)


@pytest.mark.parametrize("more", [False, True], ids=["one token less", "one token more"])
def test_a_prompt_that_does_not_fill_the_grids_is_refused(loaded, more):
    """As a processor gives it whose settings are another checkpoint's, or one that cuts long prompts off."""
    pictures = [picture((60, 90))]
    batch = encode(loaded, [pictures], ["Describe the main object."])
    ids = batch.inputs["input_ids"].clone()
    image, text = int(batch.layouts[0].positions[0]), ids.shape[1] - 1
    ids[0, text if more else image] = ids[0, image if more else text]
    changed = {**batch.inputs, "input_ids": ids}
    if "cross_attention_mask" in changed:
        # Keys are not in the sequence; the mask says which of them the answer sees.
        changed["cross_attention_mask"] = 1 - changed["cross_attention_mask"]
    sizes = [[(image.height, image.width) for image in pictures]]
    with pytest.raises(UnsupportedModelError, match=r"expected .*\d.*\. (Check|Pictures must)"):
        loaded.family.image_token_layouts(loaded.config, loaded.processor, changed, sizes)


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_a_prompt_that_asks_for_more_than_pictures_is_refused(loaded, kind):
    mark = getattr(loaded.processor, f"{kind}_token", None)
    if mark is None:
        pytest.skip(f"the processor knows no {kind}")
    with pytest.raises(DataFormatError, match=f"no {kind}( input)?s were passed"):
        encode(loaded, [picture((60, 90))], [f"What happens in {mark}?"])
