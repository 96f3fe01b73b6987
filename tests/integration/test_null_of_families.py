"""The null on three families' own attention, every score: masks re-paired at random, and nothing is found too often."""

import numpy as np
import pytest

from headimpact.embedded.scenes import build_scenes
from headimpact.models.batching import BatchSize
from headimpact.scoring import SCORES, WITHOUT_MASK, chance
from headimpact.scoring.sample_scores import SampleScores
from headimpact.scoring.swap_tables import build_swap_tables
from headimpact.workflows.api import read_dataset
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.head_measurement import measure_pictures
from headimpact.workflows.measurement_options import MeasurementOptions
from tests.unit.scoring.makers import samples_from_table
from tests.unit.scoring.scenes import binomial_interval

FAMILIES = ("llava-siglip", "qwen2_5_vl", "smolvlm")
PICTURES, REPAIRINGS, DRAWS = 40, 200, 199
LEVELS = (0.01, 0.05, 0.1)
SCORED = tuple(name for name in SCORES if name not in WITHOUT_MASK)
BY_HITS = frozenset({"pointing_game", "visual_score"})
"""Means of few values tie, and ties count against a discovery: these may reject less often."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=FAMILIES, name="tables")
def every_map_against_every_mask(request, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("null") / "data"
    build_scenes(folder, task="where", counts={"calibration": PICTURES}, seed=0)
    samples = read_dataset(folder).samples
    measured = measure_pictures(
        tiny_model(request.param),
        samples,
        [sample.captions[:1] for sample in samples],
        prompt="Describe the picture.",
        donors=DonorMasks.of(samples, donors=PICTURES, seed=0),
        options=MeasurementOptions(scores=SCORED),
        batch_size=BatchSize(8),
    )
    found = [one for one in measured if not isinstance(one, str)]
    assert len(found) == PICTURES
    return {name: square_table([one[name] for one in found]) for name in SCORED}


def square_table(pictures):
    """Give scores of every map against every mask, of heads alone."""
    (table,) = build_swap_tables(SampleScores.from_pictures(pictures))
    return table.values[:, :, : pictures[0].own.size]


@pytest.mark.parametrize("name", SCORED)
def test_rejects_at_its_nominal_rate(tables, name):
    generator = np.random.default_rng(0)
    found = []
    for repairing in range(REPAIRINGS):
        samples = samples_from_table(tables[name][:, generator.permutation(PICTURES)], seed=repairing)
        found.append(chance.tally_null(build_swap_tables(samples), draws=DRAWS, seed=repairing).p_values())
    p_values = np.array(found)
    for level in LEVELS:
        low, high = binomial_interval(REPAIRINGS, level, level=0.9999)
        hits = (p_values <= level).sum(axis=0)
        assert (hits <= high).all(), (level, hits)
        assert name in BY_HITS or (low <= hits).all(), (level, hits)
        low, high = binomial_interval(REPAIRINGS, level, level=0.95)
        assert hits.mean() <= high, (level, hits)
        assert name in BY_HITS or low <= hits.mean(), (level, hits)
    discoveries = sum((chance.false_discovery_rates(p) <= 0.05).any() for p in p_values)
    assert discoveries <= binomial_interval(REPAIRINGS, 0.05, level=0.95)[1]
