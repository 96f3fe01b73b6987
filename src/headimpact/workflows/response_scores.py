"""Head Impact of one response to a prompt with any number of pictures, without a data set and without chance."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL.Image import Image

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.models.loading import LoadedModel
from headimpact.models.patch_grid import row_coverage
from headimpact.models.prompts import encode
from headimpact.scoring.head_impact import head_impact, skip_reasons
from headimpact.workflows.captured_samples import run_capture
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.token_places import TokenPlaces


def score_response(
    loaded: LoadedModel,
    images: Sequence[Image],
    masks: Sequence[Bool[np.ndarray, "_ _"]],
    *,
    prompt: str,
    response: str,
    image_index: int | None = None,
    options: MeasurementOptions | None = None,
) -> Float[np.ndarray, "layers heads"]:
    """Score how far each head looks at the key objects of some pictures while the model says one response.

    Where the prompt has several pictures, attention to one may be scored as if the others were not there, or attention
    to all of them at once: then each picture counts with the same area, whatever its size in pixels.

    Args:
        loaded: The model.
        images: Upright RGB pictures of the prompt.
        masks: The key object of each picture; without one, all False.
        prompt: What the user asks; `<image>` marks where each picture goes, without marks they come first.
        response: What the model is taken to answer.
        image_index: Score attention to this picture alone, 0-based; None scores all.
        options: How attention becomes a number; the defaults of `headimpact score` if left out.

    Returns:
        Head Impact in [0, 1], NaN where a head sees no image token. Higher is better. It is one response: without a
        chance level it compares heads, it proves nothing.

    Raises:
        OptionError: If a picture is not one of PIL's in RGB, there is no such picture, or not one mask per picture.
        DataFormatError: If a mask has another size than its picture, or the masks say nothing: empty, cropped away, or
            nearly everywhere; or as `encode`.
        UnsupportedModelError: As `encode`.

    Source: Sergeev & Kotelnikov, arXiv 2511.23375; binarisation and weights are this project's (docs/method.md).
    """
    _check_pictures(images)
    if len(masks) != len(images) or (image_index is not None and not 0 <= image_index < len(images)):
        raise OptionError(
            f"Got {len(images)} pictures, {len(masks)} masks and image_index={image_index}; expected one mask per "
            "picture and an index among them."
        )
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        if mask.shape != (image.height, image.width):
            raise DataFormatError(
                f"Mask {index} is {mask.shape[1]}x{mask.shape[0]} pixels, its picture {image.width}x{image.height}; "
                "expected the same size."
            )
    chosen = options or MeasurementOptions()
    encoded = encode(loaded, [list(images)], [prompt], [response], padding_side="right")
    if image_index is not None:
        encoded = dataclasses.replace(encoded, layouts=tuple(row.of_image(image_index) for row in encoded.layouts))
    captured = run_capture(loaded, encoded, chosen)[0]
    coverage, tokens = torch.from_numpy(row_coverage(masks, captured.layout)[None]), TokenPlaces.of(captured.layout)
    scored = masks if image_index is None else [masks[image_index]]
    is_empty = not any(mask.any() for mask in scored)
    reason = "empty_mask" if is_empty else skip_reasons(coverage, tokens.areas, views=tokens.views)[0]
    if reason is not None:
        raise DataFormatError(f"The masks say nothing: {reason}. Expected a key object that some image tokens see.")
    scores = head_impact(
        captured.maps,
        coverage,
        tokens.areas,
        rule=chosen.binarization,
        k=chosen.k,
        quantile=chosen.quantile,
        views=tokens.views,
    )
    values = np.where(captured.sees_image.cpu().numpy(), scores[0].cpu().numpy(), np.float32(np.nan))
    return captured.on_all_layers(values, axis=0, fill=np.nan)


def _check_pictures(images: Sequence[Image]) -> None:
    """Refuse what a processor would misread or fail on.

    Raises:
        OptionError: If a picture is not one of PIL's in RGB.
    """
    for index, image in enumerate([images] if isinstance(images, Image) else images):
        found = f"of mode {image.mode}" if isinstance(image, Image) else f"a {type(image).__name__}"
        if isinstance(images, Image) or found != "of mode RGB":
            raise OptionError(
                f"Picture {index} is {found}; expected a list of PIL's pictures in RGB. Open it with "
                "PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert('RGB'), and put it into a list."
            )
