import numpy as np
import pytest
from PIL import Image

from headimpact.core.errors import DataFormatError, UnsupportedModelError
from headimpact.models.families.glm4v import FAMILY
from headimpact.models.prompts import encode


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 150), (150, 1), (1500, 40)], ids=lambda size: "x".join(map(str, size)))
def test_a_picture_of_extreme_shape_is_seen_whole(tiny_model, size_hw):
    image = Image.new("RGB", (size_hw[1], size_hw[0]))
    layout = encode(tiny_model("glm4v"), [image], ["What?"]).layouts[0]
    np.testing.assert_allclose(layout.areas, 1 / len(layout))


def test_a_picture_too_long_for_the_processor_is_refused(tiny_model):
    with pytest.raises(DataFormatError, match="aspect ratio must be smaller than 200"):
        encode(tiny_model("glm4v"), [Image.new("RGB", (300, 1))], ["What?"])


def test_another_merging_than_the_towers_is_refused(tiny_model):
    loaded = tiny_model("glm4v")
    batch = encode(loaded, [Image.new("RGB", (60, 90))], ["What?"])
    grids = batch.inputs["image_grid_thw"] * 2
    with pytest.raises(UnsupportedModelError, match=r"Image tokens do not fill the grid for 'glm4v'.*Check that"):
        FAMILY.image_token_layouts(
            loaded.config, loaded.processor, {**batch.inputs, "image_grid_thw": grids}, [[(90, 60)]]
        )
