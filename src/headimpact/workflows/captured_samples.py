"""Where model, attention and image tokens meet: one forward pass gives every head's map of every picture."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from headimpact.attention.capture import CapturedMaps, capture_attention
from headimpact.attention.queries import response_rows
from headimpact.data.sample import Sample
from headimpact.models.forward import run_backbone
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.models.shared_prompts import SharedPrompts, continued
from headimpact.workflows.measurement_options import MeasurementOptions


@dataclasses.dataclass(frozen=True, eq=False)
class CapturedSample:
    """Attention of one response beside its geometry.

    Attributes:
        maps: Attention to the image tokens, `[layers, heads, image_tokens]`.
        sees_image: Whether a head's rows see an image token, `[layers, heads]`.
        layout: The image tokens of the chosen view.
        layer_indices: Which layers these are: all, or those whose attention takes the image in.
        num_layers: Layers of the language model.
        peaks: Share of the response rows whose highest weight is at each image token, `[layers, heads, image_tokens]`;
            None where no score needs it.
    """

    maps: Float[Tensor, "layers heads image_tokens"]
    sees_image: Bool[Tensor, "layers heads"]
    layout: ImageTokenLayout
    layer_indices: tuple[int, ...]
    num_layers: int
    peaks: Float[Tensor, "layers heads image_tokens"] | None = None

    def on_all_layers(self, values: np.ndarray, *, axis: int, fill: float) -> np.ndarray:
        """Put values of the captured layers at their place among all layers.

        Args:
            values: One entry per captured layer along `axis`.
            axis: Which axis is that of layers.
            fill: What layers without attention to the picture get.
        """
        if len(self.layer_indices) == self.num_layers:
            return values
        shape = list(values.shape)
        shape[axis] = self.num_layers
        whole = np.full(shape, fill, dtype=values.dtype)
        whole[(slice(None),) * axis + (list(self.layer_indices),)] = values
        return whole


def capture_responses(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    *,
    prompt: str,
    options: MeasurementOptions,
) -> list[CapturedSample]:
    """Run one batch without logits and keep what the response rows give to the image tokens.

    Args:
        loaded: The model.
        samples: One picture per row.
        responses: One response per row.
        prompt: What is asked.
        options: Which rows and which view.

    Returns:
        One capture per row; maps are float32 on the model's device.
    """
    encoded = encode(
        loaded, [sample.load_image() for sample in samples], [prompt] * len(samples), responses, padding_side="right"
    )
    return run_capture(loaded, encoded, options)


def run_capture(loaded: LoadedModel, encoded: EncodedBatch, options: MeasurementOptions) -> list[CapturedSample]:
    """Run an encoded batch under capture, no further than the last captured attention: nothing behind it counts.

    Args:
        loaded: The model.
        encoded: The batch.
        options: Which rows look, how they are put together, and which view counts.

    Returns:
        One capture per row; maps are float32 on the model's device.
    """
    return run_captures(loaded, encoded, [options])[0]


def run_captures(
    loaded: LoadedModel, encoded: EncodedBatch, variants: Sequence[MeasurementOptions]
) -> list[list[CapturedSample]]:
    """Run an encoded batch once under several captures.

    Args:
        loaded: The model.
        encoded: The batch.
        variants: For each capture, which rows look, how they are put together, and which view counts.

    Returns:
        For each variant one capture per row, as of `run_capture`.
    """
    modules = loaded.family.attention_modules(loaded.model)
    layouts = [[layout.view(options.view) for layout in encoded.layouts] for options in variants]
    with torch.inference_mode(), contextlib.ExitStack() as stack:
        captured = [
            stack.enter_context(
                capture_attention(
                    modules,
                    queries=response_rows(encoded.response_spans, options.rows),
                    keys=_positions(seen),
                    **_reduction(options),
                )
            )
            for options, seen in zip(variants, layouts, strict=True)
        ]
        run_backbone(loaded, encoded.inputs, stop_after=modules[max(modules)])
    return [
        _samples(loaded, maps, seen, options) for maps, seen, options in zip(captured, layouts, variants, strict=True)
    ]


def run_shared_capture(
    loaded: LoadedModel, batch: SharedPrompts, options: MeasurementOptions
) -> Iterator[list[CapturedSample]]:
    """Run pictures and prompts once and every response after them under capture.

    Args:
        loaded: The model.
        batch: The batch.
        options: Which rows look, how they are put together, and which view counts.

    Yields:
        For the first response of every row, then the second, and so on, one capture per row.
    """
    modules = loaded.family.attention_modules(loaded.model)
    last = modules[max(modules)]
    layouts = [layout.view(options.view) for layout in batch.layouts]
    keys = _positions(layouts)
    cache = DynamicCache()
    with torch.inference_mode():
        run_backbone(loaded, batch.inputs, stop_after=last, cache=cache)
        for inputs, continuation in zip(continued(loaded, batch, cache), batch.continuations, strict=True):
            queries = response_rows(continuation.response_spans, options.rows)
            with capture_attention(modules, queries=queries, keys=keys, **_reduction(options)) as captured:
                run_backbone(loaded, inputs, stop_after=last, cache=cache)
            yield _samples(loaded, captured, layouts, options)


def _positions(layouts: Sequence[ImageTokenLayout]) -> list[Tensor]:
    """Give the image tokens' key positions."""
    return [torch.as_tensor(layout.positions, dtype=torch.long) for layout in layouts]


def _reduction(options: MeasurementOptions) -> dict[str, Any]:
    """Say how rows are put together and what is kept of them."""
    return {"reduction": options.row_reduction, "with_peaks": options.with_peaks}


def _samples(
    loaded: LoadedModel,
    captured: CapturedMaps,
    layouts: Sequence[ImageTokenLayout],
    options: MeasurementOptions,
) -> list[CapturedSample]:
    """Put each row's maps beside its geometry."""
    num_layers = int(loaded.config.get_text_config().num_hidden_layers)
    peaks = captured.peaks if options.with_peaks else [None] * len(layouts)
    return [
        CapturedSample(maps, sees, layout, captured.layer_indices, num_layers, peak)
        for maps, sees, layout, peak in zip(captured.maps, captured.sees_image, layouts, peaks, strict=True)
    ]
