"""What one response's maps say about every head, against the picture's own mask and the donors'."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headimpact.data.sample import Sample
from headimpact.data.word_kinds import KINDS
from headimpact.models.patch_grid import mask_coverage
from headimpact.scoring import BY_PEAKS, SCORES, WITHOUT_MASK, WITHOUT_SINKS
from headimpact.scoring.head_impact import settle_ties, skip_reasons
from headimpact.scoring.sample_scores import PictureScores
from headimpact.scoring.shared_work import once, shared_work
from headimpact.scoring.sinks import find_sinks
from headimpact.workflows.captured_samples import CapturedSample
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.object_scores import measure_objects
from headimpact.workflows.token_places import TokenPlaces

ScoredPicture = Mapping[str, PictureScores]
"""What one picture says about every head, by name of the score."""

HEAD_IMPACT = "head_impact"
"""The one score with options, and the one that a GPU may leave open."""

BASELINES = ("uniform", "centre")
"""Maps that need no model: equal attention everywhere, and attention that falls with distance to the middle; both
spend all of it on the picture."""


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
