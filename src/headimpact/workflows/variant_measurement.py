"""One forward pass, many measurements: every head's Head Impact of a picture under several options."""

from collections.abc import Sequence

from headimpact.data.sample import Sample
from headimpact.models.batching import BatchSize, run_in_batches
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.scoring.donors import DonorPlan
from headimpact.scoring.sample_scores import PictureScores
from headimpact.workflows.captured_samples import run_captures
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.picture_measurement import measure_capture

_Batch = tuple[Sequence[tuple[Sample, str]], EncodedBatch]


def measure_variants(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    *,
    prompt: str,
    variants: Sequence[MeasurementOptions],
    batch_size: BatchSize,
) -> list[list[PictureScores]]:
    """Score pictures against their own masks under several options, with one run of the model.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: One response each.
        prompt: What is asked about every picture.
        variants: Options; each names one score.
        batch_size: Rows per forward pass; shrinks where memory runs out.

    Returns:
        Per picture its scores in the order of the variants; none for a picture that says nothing.
    """
    alone = DonorMasks(DonorPlan(tuple((sample.image_id,) for sample in samples), seed=0), {})
    captures = {(variant.rows, variant.row_reduction, variant.view): variant for variant in variants}

    def prepare(batch: Sequence[tuple[Sample, str]]) -> _Batch:
        images = [sample.load_image() for sample, _ in batch]
        return batch, encode(loaded, images, [prompt] * len(batch), [text for _, text in batch], padding_side="right")

    def run(prepared: _Batch) -> list[list[PictureScores]]:
        batch, encoded = prepared
        captured = dict(zip(captures, run_captures(loaded, encoded, list(captures.values())), strict=True))
        found: list[list[PictureScores]] = []
        for row, (sample, _) in enumerate(batch):
            scored = [
                measure_capture(sample, captured[key][row], alone, variant)
                for variant in variants
                for key in [(variant.rows, variant.row_reduction, variant.view)]
            ]
            found.append([scores[name] for scores in scored if not isinstance(scores, str) for name in scores])
        return found

    has_own_device = loaded.device.type != "cpu"
    pairs = list(zip(samples, responses, strict=True))
    return run_in_batches(pairs, prepare=prepare, run=run, size=batch_size, overlap=has_own_device)
