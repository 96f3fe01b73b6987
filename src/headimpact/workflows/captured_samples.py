"""Where model, attention and image tokens meet: one forward pass gives every head's map of every picture."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache

from headimpact.attention.capture import CapturedMaps, capture_attention
from headimpact.attention.queries import response_rows
from headimpact.data.sample import Sample
from headimpact.data.word_kinds import KINDS
from headimpact.models.forward import run_backbone
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.models.shared_prompts import SharedPrompts, continued
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.word_rows import rows_by_kind, rows_by_object

Names = Sequence[Sequence[str]]
"""For each key object the words that count as naming it."""


@dataclasses.dataclass(frozen=True, eq=False)
class CapturedSample:
    """Attention of one response beside its geometry.

    Attributes:
        maps: Attention to the image tokens, `[layers, heads, image_tokens]`.
        sees_image: Whether a head's rows see an image token, `[layers, heads]`.
        layout: The image tokens of the chosen view.
        layer_indices: Which layers these are: all, or those whose attention takes the image in.
        num_layers: Layers of the language model.
        by_words: As `maps`, of the rows of words of each kind, and of those that name one of several key objects
            (`object_row`); kinds that the response has none of are left out.
        peaks: Share of the response rows whose highest weight is at each image token, `[layers, heads, image_tokens]`;
            None where no score needs it.
    """

    maps: Float[Tensor, "layers heads image_tokens"]
    sees_image: Bool[Tensor, "layers heads"]
    layout: ImageTokenLayout
    layer_indices: tuple[int, ...]
    num_layers: int
    peaks: Float[Tensor, "layers heads image_tokens"] | None = None
    by_words: Mapping[str, Float[Tensor, "layers heads image_tokens"]] = dataclasses.field(default_factory=dict)

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


def run_capture(
    loaded: LoadedModel,
    encoded: EncodedBatch,
    options: MeasurementOptions,
    *,
    names: Sequence[Names] = (),
) -> list[CapturedSample]:
    """Run an encoded batch under capture, no further than the last captured attention: nothing behind it counts.

    Args:
        loaded: The model.
        encoded: The batch.
        options: Which rows look, how they are put together, and which view counts.
        names: Words that name each row's key objects; without them no words are captured apart.

    Returns:
        One capture per row; maps are float32 on the model's device.
    """
    return run_captures(loaded, encoded, [options], names=names)[0]


def run_captures(
    loaded: LoadedModel,
    encoded: EncodedBatch,
    variants: Sequence[MeasurementOptions],
    *,
    names: Sequence[Names] = (),
) -> list[list[CapturedSample]]:
    """Run an encoded batch once under several captures.

    Args:
        loaded: The model.
        encoded: The batch.
        variants: For each capture, which rows look, how they are put together, and which view counts.
        names: As for `run_capture`.

    Returns:
        For each variant one capture per row, as of `run_capture`.
    """
    modules = loaded.family.attention_modules(loaded.model)
    layouts = [[layout.view(options.view) for layout in encoded.layouts] for options in variants]
    rows = [
        _Rows.of(loaded, encoded.inputs["input_ids"], encoded.response_spans, names, options) for options in variants
    ]
    with torch.inference_mode(), contextlib.ExitStack() as stack:
        captured = [
            stack.enter_context(_capture(modules, looking, _positions(seen), options))
            for looking, seen, options in zip(rows, layouts, variants, strict=True)
        ]
        run_backbone(loaded, encoded.inputs, stop_after=modules[max(modules)])
    return [
        _samples(loaded, maps, looking, seen, options)
        for maps, looking, seen, options in zip(captured, rows, layouts, variants, strict=True)
    ]


def run_shared_capture(
    loaded: LoadedModel, batch: SharedPrompts, options: MeasurementOptions, *, names: Sequence[Names] = ()
) -> Iterator[list[CapturedSample]]:
    """Run pictures and prompts once and every response after them under capture.

    Args:
        loaded: The model.
        batch: The batch.
        options: Which rows look, how they are put together, and which view counts.
        names: As for `run_capture`.

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
            rows = _Rows.of(loaded, continuation.input_ids, continuation.response_spans, names, options)
            with _capture(modules, rows, keys, options) as captured:
                run_backbone(loaded, inputs, stop_after=last, cache=cache)
            yield _samples(loaded, captured, rows, layouts, options)


def _positions(layouts: Sequence[ImageTokenLayout]) -> list[Tensor]:
    """Give the image tokens' key positions."""
    return [torch.as_tensor(layout.positions, dtype=torch.long) for layout in layouts]


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """Which rows look: all of each response, and those of words of each kind.

    Attributes:
        whole: Query positions of each response.
        by_words: Kind to the query positions of its words in each response, perhaps none.
    """

    whole: Sequence[Tensor]
    by_words: Mapping[str, Sequence[Tensor]]

    @classmethod
    def of(
        cls,
        loaded: LoadedModel,
        input_ids: Int[Tensor, "batch keys"],
        spans: Sequence[tuple[int, int]],
        names: Sequence[Names],
        options: MeasurementOptions,
    ) -> Self:
        """Find the rows of a batch."""
        whole = response_rows(spans, options.rows)
        if not (options.words and names):
            return cls(whole, {})
        tokenizer = loaded.processor.tokenizer
        said = [ids[start:end].tolist() for ids, (start, end) in zip(input_ids, spans, strict=True)]
        kinds = [
            {**rows_by_kind(tokenizer, ids, words), **rows_by_object(tokenizer, ids, words)}
            for ids, words in zip(said, names, strict=True)
        ]
        none: Sequence[int] = ()
        by_words = {
            kind: [rows[list(one.get(kind, none))] for rows, one in zip(whole, kinds, strict=True)]
            for kind in dict.fromkeys((*KINDS, *(kind for one in kinds for kind in one)))
        }
        return cls(whole, by_words)


@contextlib.contextmanager
def _capture(
    modules: Mapping[int, nn.Module], rows: _Rows, keys: Sequence[Tensor], options: MeasurementOptions
) -> Iterator[tuple[CapturedMaps, dict[str, CapturedMaps]]]:
    """Capture all rows and, beside them in the same pass, those of words of each kind.

    A response without words of a kind has its first row in their place, which nobody looks at.

    Yields:
        What all rows give, and by kind of word.
    """
    with contextlib.ExitStack() as stack:

        def capture(queries: Sequence[Tensor], *, with_peaks: bool) -> CapturedMaps:
            return stack.enter_context(
                capture_attention(
                    modules, queries=queries, keys=keys, reduction=options.row_reduction, with_peaks=with_peaks
                )
            )

        whole = capture(rows.whole, with_peaks=options.with_peaks)
        apart = {
            kind: capture(
                [own if len(own) else every[:1] for own, every in zip(queries, rows.whole, strict=True)],
                with_peaks=False,
            )
            for kind, queries in rows.by_words.items()
        }
        yield whole, apart


def _samples(
    loaded: LoadedModel,
    captured: tuple[CapturedMaps, dict[str, CapturedMaps]],
    rows: _Rows,
    layouts: Sequence[ImageTokenLayout],
    options: MeasurementOptions,
) -> list[CapturedSample]:
    """Put each row's maps beside its geometry."""
    num_layers = int(loaded.config.get_text_config().num_hidden_layers)
    whole, apart = captured
    peaks = whole.peaks if options.with_peaks else [None] * len(layouts)
    words = {kind: maps.maps for kind, maps in apart.items()}
    return [
        CapturedSample(
            maps,
            sees,
            layout,
            whole.layer_indices,
            num_layers,
            peaks=peak,
            by_words={kind: words[kind][row] for kind in words if len(rows.by_words[kind][row])},
        )
        for row, (maps, sees, layout, peak) in enumerate(zip(whole.maps, whole.sees_image, layouts, peaks, strict=True))
    ]
