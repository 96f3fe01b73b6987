"""Named array shapes: the vocabulary of the package on one page.

Axis names come from one list: batch, layers, heads, queries, keys, image_tokens, rows, columns, height,
width, images, masks. Shapes are checked in the test run only (jaxtyping with beartype).
"""

import numpy as np
from jaxtyping import Bool, Float, Int

ObjectMask = Bool[np.ndarray, "height width"]
"""Which pixels of a picture belong to its key object."""

TokenBoxes = Float[np.ndarray, "image_tokens 4"]
"""Each image token's rectangle (x0, y0, x1, y1) on the image plane, in shares of width and height."""

TokenAreas = Float[np.ndarray, " image_tokens"]
"""Area of each token's rectangle as a share of the picture."""

TokenPositions = Int[np.ndarray, " image_tokens"]
"""Place of each image token in the key sequence, 0-based, padding counted."""

Coverage = Float[np.ndarray, "masks image_tokens"]
"""Share of each token's area that a mask covers, in [0, 1]."""

HeadValues = Float[np.ndarray, "layers heads"]
"""One number per attention head of the language model; NaN where a head has none."""

ImageHeadValues = Float[np.ndarray, "images layers heads"]
"""One number per picture and head."""
