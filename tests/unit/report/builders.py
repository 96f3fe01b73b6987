"""Tiny makers with defaults for the report's tests."""

import numpy as np
from PIL import Image

from headimpact.report.examples import ExamplePicture


def example_picture(
    *,
    image_id="17",
    response="a red ball",
    key_object="ball",
    size_wh=(24, 16),
    layers=3,
    heads=4,
    seed=0,
    dtype=np.float32,
):
    """Make an example picture of noise with six tokens, one of them padding."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    mask = np.zeros((height, width), dtype=bool)
    mask[3:9, 4:12] = True
    columns = np.linspace(0, 1, 6)
    boxes = np.array([[a, 0.0, b, 1.0] for a, b in zip(columns, columns[1:], strict=False)] + [[0.0] * 4])
    return ExamplePicture(
        image_id=image_id,
        thumbnail=Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)),
        mask=mask,
        response=response,
        key_object=key_object,
        boxes=boxes.astype(np.float32),
        maps=rng.random((layers, heads, 6)).astype(dtype) / 6,
    )
