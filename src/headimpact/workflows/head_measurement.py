"""Every head's scores of pictures: batches through the model, responses of a picture averaged."""

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from headimpact.attention.self_check import CaptureCheck, check_capture
from headimpact.data.sample import Sample
from headimpact.models.batching import BatchSize, run_in_batches
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.models.seen_pictures import pictures_seen_once
from headimpact.models.shared_prompts import SharedPrompts, encode_shared, shares_prompts
from headimpact.scoring.aggregation import nan_mean
from headimpact.scoring.sample_scores import PictureScores
from headimpact.workflows.captured_samples import CapturedSample, run_capture, run_shared_capture
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.picture_measurement import ScoredPicture, start_measuring

_Group = tuple[int, tuple[str, ...]]
"""Which picture, and the responses that go through the model with it."""


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
