"""Where pictures, model, attention and masks meet: one forward pass gives every head's score for every mask."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headimpact.attention.capture import capture_attention
from headimpact.attention.queries import response_rows
from headimpact.attention.self_check import CaptureCheck, check_capture
from headimpact.core.errors import OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.data.masks import resize_to_plane
from headimpact.data.sample import Sample
from headimpact.models.batching import BatchSize, run_in_batches
from headimpact.models.forward import run_backbone
from headimpact.models.image_tokens import VIEWS, WHOLE_PICTURE, ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.patch_grid import mask_coverage
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.scoring.donors import DonorPlan, plan_donors
from headimpact.scoring.head_impact import RULES, head_impact, skip_reasons
from headimpact.scoring.sample_scores import PictureScores

ROW_CONVENTIONS = ("predicting", "at")
ROW_REDUCTIONS = ("mean", "max")
BASELINES = ("uniform", "centre")
"""Maps that need no model: equal attention everywhere, and attention that falls with distance to the middle."""


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
        """Refuse unknown names and numbers out of range before a model loads.

        Raises:
            OptionError: If a name is none of those known, or a number is out of range.
        """
        for kind, value, known in (
            ("binarization", self.binarization, RULES),
            ("rows", self.rows, ROW_CONVENTIONS),
            ("row-reduction", self.row_reduction, ROW_REDUCTIONS),
            ("view", self.view, VIEWS),
        ):
            if value not in known:
                raise OptionError(unknown_name_message(f"--{kind}", value, known))
        if not self.k > 0:
            raise OptionError(f"--binarization-k is {self.k}; expected a number above 0, such as 1.0.")
        if not 0 < self.quantile < 1:
            raise OptionError(f"--binarization-quantile is {self.quantile}; expected a number in (0, 1), such as 0.8.")


@dataclasses.dataclass(frozen=True, eq=False)
class DonorMasks:
    """Other pictures' key objects on the image plane, by picture.

    Attributes:
        plan: Whose masks stand in for whose.
        planes: Coverage of each picture's key objects on a square plane.
    """

    plan: DonorPlan
    planes: Mapping[str, Float[np.ndarray, "rows columns"]]

    @classmethod
    def of(cls, samples: Sequence[Sample], *, donors: int, seed: int) -> Self:
        """Plan the donors of some pictures and bring every mask onto the plane.

        Args:
            samples: Pictures that may be scored.
            donors: Most masks a picture is scored against beside its own.
            seed: Seed of the plan.

        Returns:
            Plan and planes; the planes take 16 KiB a picture.
        """
        plan = plan_donors([sample.image_id for sample in samples], donors=donors, seed=seed)
        planes = {sample.image_id: resize_to_plane(sample.load_mask()).astype(np.float32) for sample in samples}
        return cls(plan, planes)

    def coverage(self, image_id: str, layout: ImageTokenLayout) -> Float[np.ndarray, "masks image_tokens"]:
        """Lay a picture's donor masks on its own tokens."""
        donors = self.plan.donors_of(image_id)
        if not donors:
            return np.zeros((0, len(layout)))
        return mask_coverage(np.stack([self.planes[donor] for donor in donors]), layout.boxes)


@dataclasses.dataclass(frozen=True, eq=False)
class CapturedSample:
    """Attention of one response beside its geometry.

    Attributes:
        maps: Attention to the image tokens, `[layers, heads, image_tokens]`.
        sees_image: Whether a head's rows see an image token, `[layers, heads]`.
        layout: The image tokens of the chosen view.
        layer_indices: Which layers these are: all, or those whose attention takes the image in.
        num_layers: Layers of the language model.
    """

    maps: Float[Tensor, "layers heads image_tokens"]
    sees_image: Bool[Tensor, "layers heads"]
    layout: ImageTokenLayout
    layer_indices: tuple[int, ...]
    num_layers: int

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


def measure_pictures(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[Sequence[str]],
    *,
    prompt: str,
    donors: DonorMasks,
    options: MeasurementOptions,
    batch_size: BatchSize,
) -> list[PictureScores | str]:
    """Score every head on some pictures against their own masks and the donors'.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: For each picture the texts whose tokens look; their scores are averaged.
        prompt: What is asked about every picture.
        donors: Other pictures' masks.
        options: How attention becomes a number.
        batch_size: Responses per forward pass; shrinks where memory runs out.

    Returns:
        Per picture, in order, its scores, or the reason why it says nothing.
    """
    flat = [(place, text) for place, texts in enumerate(responses) for text in texts]
    gathered: list[list[PictureScores | str]] = [[] for _ in samples]

    def prepare(batch: Sequence[tuple[int, str]]) -> tuple[Sequence[tuple[int, str]], EncodedBatch]:
        images = [samples[place].load_image() for place, _ in batch]
        texts = [text for _, text in batch]
        return batch, encode(loaded, images, [prompt] * len(batch), texts, padding_side="right")

    def run(prepared: tuple[Sequence[tuple[int, str]], EncodedBatch]) -> list[PictureScores | str]:
        batch, encoded = prepared
        captured = run_capture(loaded, encoded, options)
        return [
            measure_capture(samples[place], capture, donors, options)
            for (place, _), capture in zip(batch, captured, strict=True)
        ]

    has_own_device = loaded.device.type != "cpu"
    measured = run_in_batches(flat, prepare=prepare, run=run, size=batch_size, overlap=has_own_device)
    for (place, _), found in zip(flat, measured, strict=True):
        gathered[place].append(found)
    return [_average(parts) for parts in gathered]


def check_on_sample(loaded: LoadedModel, sample: Sample, response: str, *, prompt: str) -> CaptureCheck:
    """Prove on one sample that capture changes nothing and captures what eager attention shows.

    Args:
        loaded: The model to be scored.
        sample: A picture.
        response: Text about it.
        prompt: What is asked.

    Returns:
        The differences found; they are in the log too.

    Raises:
        RunFailedError: If capture changes the outputs, or captured rows are not eager's.
    """
    return check_capture(loaded, encode(loaded, [sample.load_image()], [prompt], [response]))


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
    modules = loaded.family.attention_modules(loaded.model)
    queries = response_rows(encoded.response_spans, options.rows)
    layouts = [layout.view(options.view) for layout in encoded.layouts]
    keys = [torch.as_tensor(layout.positions, dtype=torch.long) for layout in layouts]
    with (
        torch.inference_mode(),
        capture_attention(modules, queries=queries, keys=keys, reduction=options.row_reduction) as captured,
    ):
        run_backbone(loaded, encoded.inputs, stop_after=modules[max(modules)])
    num_layers = int(loaded.config.get_text_config().num_hidden_layers)
    return [
        CapturedSample(maps, sees, layout, captured.layer_indices, num_layers)
        for maps, sees, layout in zip(captured.maps, captured.sees_image, layouts, strict=True)
    ]


def measure_capture(
    sample: Sample, captured: CapturedSample, donors: DonorMasks, options: MeasurementOptions
) -> PictureScores | str:
    """Score one response's maps against the picture's own mask and the donors'.

    Returns:
        The scores, or the reason why the picture says nothing.
    """
    layout = captured.layout
    own = mask_coverage(sample.load_mask()[None], layout.boxes)
    device = captured.maps.device
    masks = torch.from_numpy(np.concatenate([own, donors.coverage(sample.image_id, layout)])).to(device)
    areas = torch.from_numpy(np.ascontiguousarray(layout.areas)).to(device)
    views = torch.from_numpy((layout.tile != WHOLE_PICTURE).astype(np.int64)).to(device)
    reason = skip_reasons(masks[:1], areas, views=views)[0]
    if reason is not None:
        return reason
    maps = torch.cat([captured.maps, _baseline_maps(layout, num_heads=captured.maps.shape[1]).to(device)])
    scores = head_impact(
        maps, masks, areas, rule=options.binarization, k=options.k, quantile=options.quantile, views=views
    )
    values = scores.cpu().numpy()
    sees = captured.sees_image.cpu().numpy()
    heads = np.where(sees, values[:, : -len(BASELINES)], np.float32(np.nan))
    heads = captured.on_all_layers(heads, axis=1, fill=np.nan)
    return PictureScores(
        image_id=sample.image_id,
        own=heads[0],
        donors=heads[1:],
        donor_ids=donors.plan.donors_of(sample.image_id),
        sees_image=captured.on_all_layers(sees.astype(np.float32), axis=0, fill=0.0),
        baselines={name: values[:, place - len(BASELINES), 0] for place, name in enumerate(BASELINES)},
    )


def _baseline_maps(layout: ImageTokenLayout, *, num_heads: int) -> Float[Tensor, "layers heads image_tokens"]:
    """Make one map per baseline, as if each were a layer whose heads agree."""
    middle = (layout.boxes[:, :2] + layout.boxes[:, 2:]) / 2
    distance = np.sqrt(((middle - 0.5) ** 2).sum(axis=1))
    maps = np.stack([np.ones(len(layout)), 1.0 - distance])
    return torch.from_numpy(maps.astype(np.float32))[:, None, :].expand(-1, num_heads, -1)


def _average(parts: Sequence[PictureScores | str]) -> PictureScores | str:
    """Average the responses of one picture; a picture that was skipped was so for every response."""
    scored = [part for part in parts if isinstance(part, PictureScores)]
    if len(scored) < 2:
        return parts[0]

    def mean(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(np.mean(values, axis=0, dtype=np.float64), dtype=np.float32)

    return dataclasses.replace(
        scored[0],
        own=mean([part.own for part in scored]),
        donors=mean([part.donors for part in scored]),
        sees_image=mean([part.sees_image for part in scored]),
    )
