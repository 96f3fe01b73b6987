"""Portions of pictures between looks, and whether the looks so far are enough to stop."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from headimpact.core.errors import OptionError
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.scoring.aggregation import mean_over_pictures
from headimpact.scoring.sample_scores import SampleScores
from headimpact.scoring.stability import CONFIDENCE, REGRET, Look, Stability, judge_looks, plan_looks
from headimpact.selection.budget import default_layer_count
from headimpact.workflows.configs import ScoreConfig

if TYPE_CHECKING:
    from headimpact.workflows.donor_masks import DonorMasks


@dataclasses.dataclass(frozen=True)
class Portion:
    """Pictures that are scored before the next look; they lend one another their masks.

    Attributes:
        blocks: Number of a shard to its pictures.
        donors_per_picture: Most masks a picture is scored against beside its own.
        seed: Seed of the plan of donors.
    """

    blocks: Mapping[int, Sequence[Sample]]
    donors_per_picture: int
    seed: int

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Give the pictures in order."""
        return tuple(sample for block in self.blocks.values() for sample in block)

    @functools.cached_property
    def donors(self) -> "DonorMasks":
        """Plan the donors and read the masks, when they are first needed."""
        from headimpact.workflows.donor_masks import DonorMasks

        return DonorMasks.of(self.samples, donors=self.donors_per_picture, seed=self.seed)


def cut_portions(dataset: KeyObjectDataset, config: ScoreConfig) -> list[Portion]:
    """Cut the pictures into portions, one in the order of the data set, or one per look in the order drawn.

    Args:
        dataset: The pictures.
        config: Options of the run.

    Returns:
        Portions whose shards are numbered through.
    """
    if config.until_stable:
        by_id = {sample.image_id: sample for sample in dataset}
        samples = [by_id[image_id] for image_id in dataset.drawn_ids(config.seed)]
        ends = plan_looks(len(samples))
    else:
        samples, ends = list(dataset), (len(dataset),)
    portions: list[Portion] = []
    for start, end in zip((0, *ends), ends, strict=False):
        first = sum(len(portion.blocks) for portion in portions)
        blocks = split_samples(samples[start:end], config.shard_size)
        portions.append(Portion(dict(enumerate(blocks, start=first)), config.donors, config.seed))
    return portions


def split_samples(samples: Sequence[Sample], size: int) -> list[Sequence[Sample]]:
    """Cut pictures into blocks of one shard each."""
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def judge_run(
    samples: SampleScores, dataset: KeyObjectDataset, *, config: ScoreConfig, pictures: int
) -> Stability | None:
    """Look at the pictures that a run has scored so far.

    Args:
        samples: Their scores.
        dataset: All pictures at hand.
        config: Options of the run.
        pictures: Pictures done so far, skipped ones among them.

    Returns:
        The looks; None where layers are put together in a way whose error over pictures is not known.
    """
    if config.layer_aggregation != "mean":
        return None
    planned = plan_looks(len(dataset))
    scored = ~np.isnan(mean_over_pictures(samples.own, samples.sees_image)).all(axis=1) if samples.image_ids else ()
    k = config.k or default_layer_count(int(np.sum(scored)))
    return Stability(
        score=config.score,
        k=k,
        pictures=len(dataset),
        planned=planned,
        until_stable=config.until_stable,
        looks=judge_looks(samples, dataset.drawn_ids(config.seed)[:pictures], planned=planned, k=k, seed=config.seed),
    )


def check_choice(k: int | None, *, layers: int) -> None:
    """Refuse a number of layers that leaves nothing to choose.

    Args:
        k: Number of layers to choose; None for the default.
        layers: Layers of the model that attend to the picture.

    Raises:
        OptionError: If there are no more layers than that.
    """
    if k is not None and k >= layers:
        raise OptionError(
            f"Nothing to choose: --k is {k} and the model has {layers} layers that attend to the picture; expected "
            f"1 to {layers - 1}."
        )


def describe_stability(stability: Stability) -> list[str]:
    """Say how many pictures the choice of layers took, or that they are not enough, and which layers are tied."""
    if not stability.looks:
        return []
    last, first = stability.looks[-1], stability.stable_at
    if not last.is_stable:
        advice = [f"expected below {REGRET:.0%}: score more pictures, or choose another --k"]
    else:
        advice = [] if first == last.pictures else [f"stable first at {first} pictures"]
    return [describe_look(stability, last), *advice]


def describe_look(stability: Stability, look: Look) -> str:
    """Say what the pictures of one look allow to say of the choice."""
    layers = " ".join(map(str, look.layers))
    tied = f"; tied at the cut: {' '.join(map(str, look.tied))}" if look.tied else ""
    return (
        f"{'stable' if look.is_stable else 'not stable'} at {look.pictures} of {stability.pictures} pictures: best "
        f"{stability.k} {layers}, regret at most {look.regret_bound:.1%} ({CONFIDENCE:.0%} confidence){tied}"
    )
