"""A few pictures' maps, kept so that a report can be made without the model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from headimpact.data.sample import Sample
from headimpact.models.loading import LoadedModel
from headimpact.report.examples import ExamplePicture, make_thumbnail, write_examples
from headimpact.scoring.sinks import find_sinks
from headimpact.workflows.captured_samples import CapturedSample, capture_responses
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.token_places import TokenPlaces


def write_examples_of(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    texts: Sequence[str],
    *,
    options: MeasurementOptions,
    prompt: str,
    out: Path,
) -> None:
    """Write thumbnails, masks and all heads' maps of a few pictures.

    Args:
        loaded: The model.
        samples: The pictures.
        texts: One response per picture.
        options: Which rows and which view.
        prompt: What is asked about every picture.
        out: Folder to write, replaced where it exists.
    """
    captured = capture_responses(loaded, samples, texts, prompt=prompt, options=options)
    pictures = []
    for sample, text, capture in zip(samples, texts, captured, strict=True):
        thumbnail, mask = make_thumbnail(sample.load_image(), sample.load_mask())
        pictures.append(
            ExamplePicture(
                image_id=sample.image_id,
                thumbnail=thumbnail,
                mask=mask,
                response=text,
                key_object=", ".join(dict.fromkeys(item.category for item in sample.key_objects)),
                boxes=capture.layout.boxes,
                maps=capture.on_all_layers(capture.maps.cpu().numpy().astype(np.float32), axis=0, fill=0.0),
                sinks=_sinks_of(capture).cpu().numpy() if options.sinks else None,
            )
        )
    write_examples(out, pictures, overwrite=True)


def _sinks_of(captured: CapturedSample) -> Bool[Tensor, " image_tokens"]:
    """Find the sinks of a picture, as in its scores."""
    tokens, device = TokenPlaces.of(captured.layout), captured.maps.device
    seen = torch.where(captured.sees_image[..., None], captured.maps, torch.nan)
    return find_sinks(seen, tokens.areas.to(device), views=tokens.views.to(device))
