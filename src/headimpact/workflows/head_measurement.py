"""Every head's scores of a picture, against the picture's own mask and the donors'."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headimpact.attention.self_check import CaptureCheck, check_capture
from headimpact.data.masks import resize_to_plane
from headimpact.data.sample import Sample
from headimpact.data.word_kinds import KINDS
from headimpact.models.batching import BatchSize, run_in_batches
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.patch_grid import mask_coverage
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.models.seen_pictures import pictures_seen_once
from headimpact.models.shared_prompts import SharedPrompts, encode_shared, shares_prompts
from headimpact.scoring import BY_PEAKS, SCORES, WITHOUT_MASK, WITHOUT_SINKS
from headimpact.scoring.aggregation import nan_mean
from headimpact.scoring.donors import DonorPlan, plan_donors
from headimpact.scoring.head_impact import settle_ties, skip_reasons
from headimpact.scoring.sample_scores import PictureScores
from headimpact.scoring.shared_work import once, shared_work
from headimpact.scoring.sinks import find_sinks
from headimpact.workflows.captured_samples import CapturedSample, run_capture, run_shared_capture
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.object_scores import measure_objects
from headimpact.workflows.token_places import TokenPlaces

ScoredPicture = Mapping[str, PictureScores]
"""What one picture says about every head, by name of the score."""

_Group = tuple[int, tuple[str, ...]]
"""Which picture, and the responses that go through the model with it."""

HEAD_IMPACT = "head_impact"
"""The one score with options, and the one that a GPU may leave open."""

BASELINES = ("uniform", "centre")
"""Maps that need no model: equal attention everywhere, and attention that falls with distance to the middle; both
spend all of it on the picture."""


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

    def lenders(self, image_id: str) -> tuple[str, ...]:
        """List whose masks a picture is held against: its own, measured as the others are, and its donors'; if any."""
        donors = self.plan.donors_of(image_id)
        return (image_id, *donors) if donors else ()

    def coverage(self, image_id: str, layout: ImageTokenLayout) -> Float[np.ndarray, "masks image_tokens"]:
        """Lay the masks of a picture's lenders on its own tokens."""
        lenders = self.lenders(image_id)
        if not lenders:
            return np.zeros((0, len(layout)))
        return mask_coverage(np.stack([self.planes[lender] for lender in lenders]), layout.boxes)


def measure_pictures(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[Sequence[str]],
    *,
    prompt: str,
    donors: DonorMasks,
    options: MeasurementOptions,
    batch_size: BatchSize,
) -> list[ScoredPicture | str]:
    """Score every head on some pictures against their own masks and the donors'.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: For each picture the texts whose tokens look; their scores are averaged.
        prompt: What is asked about every picture.
        donors: Other pictures' masks.
        options: How attention becomes a number.
        batch_size: Rows per forward pass; shrinks where memory runs out. Responses of one picture share a row's
            picture and prompt where the family allows; elsewhere they share what the vision tower made of it.

    Returns:
        Per picture, in order, its scores by name, or the reason why it says nothing.
    """
    has_several = any(len(texts) > 1 for texts in responses)
    sharing = has_several and shares_prompts(loaded)
    groups = _together(responses) if sharing else _one_by_one(responses, rows=batch_size.rows)
    gathered: list[list[ScoredPicture | str]] = [[] for _ in samples]

    def prepare(batch: Sequence[_Group]) -> tuple[Sequence[_Group], EncodedBatch | SharedPrompts]:
        images, prompts = [samples[place].load_image() for place, _ in batch], [prompt] * len(batch)
        if sharing:
            return batch, encode_shared(loaded, images, prompts, [texts for _, texts in batch])
        return batch, encode(loaded, images, prompts, [texts[0] for _, texts in batch], padding_side="right")

    def run(prepared: tuple[Sequence[_Group], EncodedBatch | SharedPrompts]) -> list[list[ScoredPicture | str]]:
        batch, encoded = prepared
        names = [[item.names for item in samples[place].key_objects] for place, _ in batch]
        found: list[list[ScoredPicture | str]] = [[] for _ in batch]
        if isinstance(encoded, SharedPrompts):
            captures: Iterable[list[CapturedSample]] = run_shared_capture(loaded, encoded, options, names=names)
        else:
            captures = [run_capture(loaded, encoded, options, names=names)]
        for captured in captures:
            started = [
                start_measuring(samples[place], capture, donors, options) if len(scores) < len(texts) else None
                for (place, texts), capture, scores in zip(batch, captured, found, strict=True)
            ]
            for scores, one in zip(found, started, strict=True):
                if one is not None:
                    scores.append(one if isinstance(one, str) else one.finish())
        return found

    has_own_device = loaded.device.type != "cpu"
    with pictures_seen_once(loaded) if has_several and not sharing else contextlib.nullcontext():
        measured = run_in_batches(groups, prepare=prepare, run=run, size=batch_size, overlap=has_own_device)
    for (place, _), found in zip(groups, measured, strict=True):
        gathered[place] += found
    return [_average(parts) for parts in gathered]


def _together(responses: Sequence[Sequence[str]]) -> list[_Group]:
    """Put all responses of a picture into one group."""
    return [(place, tuple(texts)) for place, texts in enumerate(responses) if texts]


def _one_by_one(responses: Sequence[Sequence[str]], *, rows: int) -> list[_Group]:
    """Put every response into a group, in such an order that batch after batch shows the same pictures."""
    return [
        (place, (responses[place][rank],))
        for start in range(0, len(responses), rows)
        for rank in range(max(map(len, responses[start : start + rows])))
        for place in range(start, min(start + rows, len(responses)))
        if rank < len(responses[place])
    ]


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


def measure_capture(
    sample: Sample, captured: CapturedSample, donors: DonorMasks, options: MeasurementOptions
) -> ScoredPicture | str:
    """Score one response's maps against the picture's own mask and the donors'.

    Returns:
        The scores by name, or the reason why the picture says nothing.
    """
    started = start_measuring(sample, captured, donors, options)
    return started if isinstance(started, str) else started.finish()


@dataclasses.dataclass(frozen=True, eq=False)
class _StartedScore:
    """One score whose values may still be in the making on a GPU.

    Attributes:
        values: Every head's score against every mask.
        donor_ids: Pictures whose masks come after the own one.
        baselines: Name of a map that needs no model to its scores.
        settle: Computes what a GPU left open.
    """

    values: Float[Tensor, "masks layers heads"]
    donor_ids: tuple[str, ...] = ()
    baselines: Mapping[str, Float[np.ndarray, " masks"]] | None = None
    settle: Callable[[Tensor], Tensor] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class StartedPicture:
    """A picture whose scores may still be in the making on a GPU, which can be given others meanwhile."""

    sample: Sample
    captured: CapturedSample
    scores: Mapping[str, _StartedScore]

    def finish(self) -> ScoredPicture:
        """Wait for the scores and bring them to all layers."""
        return {name: self._finished(score) for name, score in self.scores.items()}

    def _finished(self, score: _StartedScore) -> PictureScores:
        """Bring one score to all layers."""
        values = score.values if score.settle is None else score.settle(score.values)
        return _picture_scores(self.sample, self.captured, values, donor_ids=score.donor_ids, baselines=score.baselines)


@shared_work()
def start_measuring(
    sample: Sample, captured: CapturedSample, donors: DonorMasks, options: MeasurementOptions
) -> StartedPicture | str:
    """Start to score one response's maps; a GPU is not waited for.

    Returns:
        What is to be finished, or the reason why the picture says nothing.
    """
    layout, device = captured.layout, captured.maps.device
    own = mask_coverage(sample.load_mask()[None], layout.boxes)
    masks = torch.from_numpy(np.concatenate([own, donors.coverage(sample.image_id, layout)]))
    tokens = TokenPlaces.of(layout)
    reason = skip_reasons(masks[:1], tokens.areas, views=tokens.views)[0]
    if reason is not None:
        return reason
    seen = torch.where(captured.sees_image[..., None], captured.maps, torch.nan)
    sinks = None
    if options.sinks:
        sinks = find_sinks(seen, tokens.areas.to(device), views=tokens.views.to(device)).cpu()
    without_sinks = tokens if sinks is None else tokens.without(sinks)
    lenders = donors.lenders(sample.image_id)
    started: dict[str, _StartedScore] = {}
    for by_object in options.by_object:
        settled = {"settle": True} if by_object == HEAD_IMPACT else {}
        held = measure_objects(
            sample, captured, functools.partial(_kernel(by_object, options), **settled), masks[2:], tokens
        )
        for which, values in held.items():
            started[f"{by_object}_{which}"] = _StartedScore(values, donor_ids=lenders[1:])
    for name in options.scores:
        if name in started:
            continue
        kind = next((kind for kind in KINDS if name.endswith(f"_{kind}")), None)
        score = name.removesuffix(WITHOUT_SINKS if kind is None else f"_{kind}")
        used = without_sinks if name.endswith(WITHOUT_SINKS) else tokens
        kernel = _kernel(score, options)
        if score in WITHOUT_MASK:
            started[name] = _StartedScore(kernel(seen, used.boxes.to(device), views=used.views.to(device))[None])
            continue
        baselines = once(_baseline_maps, used, sinks if used is tokens else None)
        rows = captured.maps if kind is None else captured.by_words.get(kind, torch.full_like(seen, torch.nan))
        if score in BY_PEAKS and captured.peaks is not None:
            rows, baselines = captured.peaks, {one: _peaks(spent) for one, spent in baselines.items()}
        kernel = functools.partial(kernel, coverage=masks, areas=used.areas, views=used.views)
        values, beside = _with_baselines(kernel, rows, baselines)
        settle = None
        if score == HEAD_IMPACT:
            settle = functools.partial(settle_ties, maps=rows, coverage=masks, areas=used.areas, views=used.views)
        started[name] = _StartedScore(
            values, donor_ids=lenders, baselines=dict(zip(baselines, beside.T.numpy(), strict=True)), settle=settle
        )
    return StartedPicture(sample, captured, started)


def _with_baselines(
    kernel: Callable[..., Tensor],
    rows: Float[Tensor, "layers heads image_tokens"],
    baselines: Mapping[str, Float[Tensor, " image_tokens"]],
) -> tuple[Float[Tensor, "masks layers heads"], Float[Tensor, "masks maps"]]:
    """Score heads and the maps that need no model; beside a GPU, which has enough to do, the latter on the CPU."""
    if rows.device.type != "cpu":
        return kernel(rows), kernel(torch.stack(list(baselines.values()))[None])[:, 0]
    count = rows.shape[0] * rows.shape[1]
    values = kernel(once(_joined, rows, baselines))[:, 0]
    return values[:, :count].reshape(-1, *rows.shape[:2]), values[:, count:]


def _joined(
    rows: Float[Tensor, "layers heads image_tokens"], baselines: Mapping[str, Float[Tensor, " image_tokens"]]
) -> Float[Tensor, "one maps image_tokens"]:
    """Put the maps that need no model behind the heads'."""
    return torch.cat([rows.flatten(0, 1), *(spent[None] for spent in baselines.values())])[None]


def _kernel(name: str, options: MeasurementOptions) -> Callable[..., Tensor]:
    """Find a score's kernel; Head Impact alone has options."""
    kernel: Callable[..., Tensor] = SCORES.load(name)
    if name != HEAD_IMPACT:
        return kernel
    return functools.partial(kernel, rule=options.binarization, k=options.k, quantile=options.quantile, settle=False)


def _picture_scores(
    sample: Sample,
    captured: CapturedSample,
    scores: Float[Tensor, "masks layers heads"],
    *,
    donor_ids: tuple[str, ...] = (),
    baselines: Mapping[str, Float[np.ndarray, " masks"]] | None = None,
) -> PictureScores:
    """Bring one score's values to all layers."""
    values, sees = scores.cpu().numpy(), captured.sees_image.cpu().numpy()
    heads = captured.on_all_layers(np.where(sees, values, np.float32(np.nan)), axis=1, fill=np.nan)
    return PictureScores(
        image_id=sample.image_id,
        own=heads[0],
        donors=heads[1:],
        donor_ids=donor_ids,
        sees_image=captured.on_all_layers(sees.astype(np.float32), axis=0, fill=0.0),
        baselines=baselines or {},
    )


def _baseline_maps(
    tokens: TokenPlaces, sinks: Bool[Tensor, " image_tokens"] | None
) -> dict[str, Float[Tensor, " image_tokens"]]:
    """Make the maps that need no model, on the CPU; the one that looks at the sinks is NaN in a picture without any."""
    middle = (tokens.boxes[:, :2] + tokens.boxes[:, 2:]) / 2
    distance = ((middle - 0.5) ** 2).sum(dim=1).sqrt()
    maps = dict(zip(BASELINES, (torch.ones_like(distance), 1.0 - distance), strict=True))
    if sinks is not None:
        maps["sinks"] = sinks.to(distance.dtype)
    placed = {name: spent * (tokens.areas > 0) for name, spent in maps.items()}
    return {name: (spent / spent.sum()).float() for name, spent in placed.items()}


def _peaks(spent: Float[Tensor, " image_tokens"]) -> Float[Tensor, " image_tokens"]:
    """Say where the highest value of a map is, shared among equal ones."""
    highest = (spent == spent.max()).float()
    return torch.where(spent.isnan(), torch.nan, highest / highest.sum())


def _average(parts: Sequence[ScoredPicture | str]) -> ScoredPicture | str:
    """Average the responses of one picture; a picture that was skipped was so for every response."""
    scored = [part for part in parts if not isinstance(part, str)]
    if len(scored) < 2:
        return parts[0]
    return {name: _mean_of(_speaking([part[name] for part in scored])) for name in scored[0]}


def _speaking(parts: Sequence[PictureScores]) -> Sequence[PictureScores]:
    """Leave out responses without any value, such as those without words of a kind; one stays."""
    return [part for part in parts if not np.isnan(part.own).all()] or parts[:1]


def _mean_of(parts: Sequence[PictureScores]) -> PictureScores:
    """Average one score over the responses of a picture."""

    def mean(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(np.mean(values, axis=0, dtype=np.float64), dtype=np.float32)

    baselines = {name: nan_mean(np.stack([part.baselines[name] for part in parts])) for name in parts[0].baselines}
    return dataclasses.replace(
        parts[0],
        own=mean([part.own for part in parts]),
        donors=mean([part.donors for part in parts]),
        sees_image=mean([part.sees_image for part in parts]),
        baselines=baselines,
    )
