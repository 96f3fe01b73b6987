"""The null on the embedded model: its own attention, masks re-paired at random, and nothing may be found too often."""

import numpy as np
import pytest

from headimpact.embedded.scenes import build_scenes
from headimpact.models.batching import BatchSize
from headimpact.models.loading import load_model
from headimpact.scoring import chance
from headimpact.scoring.sample_scores import SampleScores
from headimpact.scoring.swap_tables import build_swap_tables
from headimpact.workflows.api import read_dataset
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.head_measurement import measure_pictures
from headimpact.workflows.measurement_options import MeasurementOptions
from tests.unit.scoring.makers import samples_from_table
from tests.unit.scoring.scenes import binomial_interval

PICTURES, REPAIRINGS, DRAWS = 40, 200, 199
SHAPE = (12, 8)


@pytest.fixture(scope="module", name="table")
def every_map_against_every_mask(tmp_path_factory):
    folder = tmp_path_factory.mktemp("null") / "data"
    build_scenes(folder, task="where", counts={"calibration": PICTURES}, seed=0)
    samples = read_dataset(folder).samples
    measured = measure_pictures(
        load_model("embedded", device="cpu"),
        samples,
        [sample.captions[:1] for sample in samples],
        prompt="Describe the picture.",
        donors=DonorMasks.of(samples, donors=PICTURES, seed=0),
        options=MeasurementOptions(),
        batch_size=BatchSize(8),
    )
    scored = [found["head_impact"] for found in measured if not isinstance(found, str)]
    (table,) = build_swap_tables(SampleScores.from_pictures(scored, skipped={}, shape=SHAPE))
    assert table.values.shape[:2] == (PICTURES, PICTURES)
    return table.values[:, :, : np.prod(SHAPE)]


def p_values(table, *, seed):
    samples = samples_from_table(table, seed=seed, shape=SHAPE)
    return chance.tally_null(build_swap_tables(samples), draws=DRAWS, seed=seed).p_values()


def test_with_its_own_masks_many_heads_are_found(table):
    assert (chance.false_discovery_rates(p_values(table, seed=0)) <= 0.05).sum() > 10


def test_with_other_pictures_masks_it_rejects_at_its_nominal_rate(table):
    generator = np.random.default_rng(0)
    found = np.array(
        [p_values(table[:, generator.permutation(PICTURES)], seed=repairing) for repairing in range(REPAIRINGS)]
    )
    low, high = binomial_interval(REPAIRINGS, 0.05, level=0.95)
    assert low <= (found <= 0.05).sum(axis=0).mean() <= high
    discoveries = sum((chance.false_discovery_rates(p) <= 0.05).any() for p in found)
    assert discoveries <= high
