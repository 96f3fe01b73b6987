"""Where pictures, model, attention and masks meet: one forward pass gives every head's score for every mask."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headimpact.attention.capture import capture_attention
from headimpact.attention.queries import response_rows
from headimpact.core.errors import OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.data.sample import Sample
from headimpact.models.image_tokens import VIEWS, WHOLE_PICTURE, ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.patch_grid import mask_coverage
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.scoring.head_impact import RULES, head_impact, skip_reasons

ROW_CONVENTIONS = ("predicting", "at")
ROW_REDUCTIONS = ("mean", "max")
RESPONSES = ("reference", "own")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasurementOptions:
    """How attention becomes a number; every choice that the method leaves open.

    Attributes:
        binarization: Rule that turns attention into a predicted region.
        k: Factor of the rule `mean`.
        quantile: Quantile of the rule `quantile`.
        rows: Whether the row that predicts a response token speaks for it, or the row at it.
        row_reduction: How rows are put together.
        view: Which tokens count where a picture enters whole and in tiles.
    """

    binarization: str = "area"
    k: float = 1.0
    quantile: float = 0.8
    rows: str = "predicting"
    row_reduction: Literal["mean", "max"] = "mean"
    view: str = "all"

    def __post_init__(self) -> None:
        """Refuse unknown names before a model loads.

        Raises:
            OptionError: If a name is none of those known.
        """
        for kind, value, known in (
            ("binarization", self.binarization, RULES),
            ("rows", self.rows, ROW_CONVENTIONS),
            ("row-reduction", self.row_reduction, ROW_REDUCTIONS),
            ("view", self.view, VIEWS),
        ):
            if value not in known:
                raise OptionError(unknown_name_message(f"--{kind}", value, known))


@dataclasses.dataclass(frozen=True, eq=False)
class PictureMeasurement:
    """What one picture says about every head.

    Attributes:
        image_id: The picture.
        skipped: Why it says nothing, or None.
        own: Score against its own mask, `[layers, heads]`; None where skipped.
        donors: Score against each donor mask, `[masks, layers, heads]`; NaN where a donor says nothing here.
        sees_image: Share of its responses in which a head's rows see an image token, `[layers, heads]`.
        baselines: Name of a map that needs no model to its scores `[1 + masks]`: own mask first, then donors.
    """

    image_id: str
    skipped: str | None
    own: Float[np.ndarray, "layers heads"] | None = None
    donors: Float[np.ndarray, "masks layers heads"] | None = None
    sees_image: Float[np.ndarray, "layers heads"] | None = None
    baselines: Mapping[str, Float[np.ndarray, " masks"]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class CapturedSample:
    """Attention of one response beside its geometry.

    Attributes:
        maps: Attention to the image tokens, `[layers, heads, image_tokens]`.
        sees_image: Whether a head's rows see an image token, `[layers, heads]`.
        layout: The image tokens of the chosen view.
    """

    maps: Float[Tensor, "layers heads image_tokens"]
    sees_image: Bool[Tensor, "layers heads"]
    layout: ImageTokenLayout


def measure_pictures(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[Sequence[str]],
    *,
    prompt: str,
    donor_planes: Float[np.ndarray, "masks rows columns"],
    options: MeasurementOptions,
    batch_size: int,
) -> list[PictureMeasurement]:
    """Score every head on some pictures against their own masks and the donors'.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: For each picture the texts whose tokens look; their scores are averaged.
        prompt: What is asked about every picture.
        donor_planes: Donor masks as coverage on a square image plane.
        options: How attention becomes a number.
        batch_size: Responses per forward pass.

    Returns:
        One measurement per picture, in order.
    """
    flat = [(place, text) for place, texts in enumerate(responses) for text in texts]
    gathered: list[list[PictureMeasurement]] = [[] for _ in samples]
    for start in range(0, len(flat), batch_size):
        batch = flat[start : start + batch_size]
        captured = capture_responses(
            loaded, [samples[place] for place, _ in batch], [text for _, text in batch], prompt=prompt, options=options
        )
        for (place, _), sample_capture in zip(batch, captured, strict=True):
            gathered[place].append(measure_capture(samples[place], sample_capture, donor_planes, options))
    return [_average(parts) for parts in gathered]


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
    layouts = [layout.view(options.view) for layout in encoded.layouts]
    return run_capture(loaded, encoded, layouts, options)


def run_capture(
    loaded: LoadedModel, encoded: EncodedBatch, layouts: Sequence[ImageTokenLayout], options: MeasurementOptions
) -> list[CapturedSample]:
    """Run an encoded batch under capture."""
    modules = loaded.family.attention_modules(loaded.model)
    queries = response_rows(encoded.response_spans, options.rows)
    keys = [torch.as_tensor(layout.positions, dtype=torch.long) for layout in layouts]
    with (
        torch.inference_mode(),
        capture_attention(modules, queries=queries, keys=keys, reduction=options.row_reduction) as captured,
    ):
        loaded.family.backbone(loaded.model)(**encoded.inputs, use_cache=False)
    return [
        CapturedSample(maps, sees, layout)
        for maps, sees, layout in zip(captured.maps, captured.sees_image, layouts, strict=True)
    ]


def measure_capture(
    sample: Sample,
    captured: CapturedSample,
    donor_planes: Float[np.ndarray, "masks rows columns"],
    options: MeasurementOptions,
) -> PictureMeasurement:
    """Score one response's maps against the picture's own mask and the donors'."""
    layout = captured.layout
    coverage = np.concatenate(
        [mask_coverage(sample.load_mask()[None], layout.boxes), mask_coverage(donor_planes, layout.boxes)]
    )
    device = captured.maps.device
    masks = torch.from_numpy(coverage).to(device)
    areas = torch.from_numpy(np.ascontiguousarray(layout.areas)).to(device)
    views = torch.from_numpy((layout.tile != WHOLE_PICTURE).astype(np.int64)).to(device)
    reason = skip_reasons(masks[:1], areas, views=views)[0]
    if reason is not None:
        return PictureMeasurement(sample.image_id, reason)
    maps = torch.cat([captured.maps, _baseline_maps(layout).to(device).expand(-1, captured.maps.shape[1], -1)])
    scores = head_impact(
        maps, masks, areas, rule=options.binarization, k=options.k, quantile=options.quantile, views=views
    )
    values = scores.cpu().numpy()
    sees = captured.sees_image.cpu().numpy()
    heads, baselines = values[:, : -len(BASELINES)], values[:, -len(BASELINES) :, 0]
    heads = np.where(sees, heads, np.float32(np.nan))
    return PictureMeasurement(
        sample.image_id,
        None,
        own=heads[0],
        donors=heads[1:],
        sees_image=sees.astype(np.float32),
        baselines={name: baselines[:, place] for place, name in enumerate(BASELINES)},
    )


BASELINES = ("uniform", "centre")
"""Maps that need no model: equal attention everywhere, and attention that falls with distance to the middle."""


def _baseline_maps(layout: ImageTokenLayout) -> Float[Tensor, "layers heads image_tokens"]:
    """Make one map per baseline, `[baselines, 1, image_tokens]`."""
    middle = (layout.boxes[:, :2] + layout.boxes[:, 2:]) / 2
    distance = np.sqrt(((middle - 0.5) ** 2).sum(axis=1))
    maps = np.stack([np.ones(len(layout)), 1.0 - distance])
    return torch.from_numpy(maps.astype(np.float32))[:, None, :]


def _average(parts: Sequence[PictureMeasurement]) -> PictureMeasurement:
    """Average the responses of one picture; a picture that was skipped was so for every response."""
    first = parts[0]
    if first.skipped is not None or len(parts) == 1:
        return first
    with np.errstate(invalid="ignore"):
        return PictureMeasurement(
            first.image_id,
            None,
            own=np.mean([part.own for part in parts], axis=0, dtype=np.float64).astype(np.float32),
            donors=np.mean([part.donors for part in parts], axis=0, dtype=np.float64).astype(np.float32),
            sees_image=np.mean([part.sees_image for part in parts], axis=0).astype(np.float32),
            baselines=first.baselines,
        )
