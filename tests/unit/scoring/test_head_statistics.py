import dataclasses

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.provenance import hash_texts
from headimpact.scoring.head_statistics import build_head_scores
from headimpact.scoring.sample_scores import SampleScores
from tests.unit.scoring.makers import architecture, samples_from_table

COUNT = 24
IDS = [f"p{number:02}" for number in range(COUNT)]
BASELINES = ("uniform", "centre")


def table(planted=0.3, seed=0):
    """Noise of pictures and masks, and head 4 of 6 (layer 1, head 1) higher on its own mask."""
    generator = np.random.default_rng(seed)
    values = 0.3 + 0.05 * generator.normal(size=(COUNT, 1, 1)) + 0.05 * generator.normal(size=(1, COUNT, 1))
    values = values + 0.1 * generator.random((COUNT, COUNT, 8))
    values[range(COUNT), range(COUNT), 4] += planted
    return values.astype(np.float32)


def samples(values=None, **options):
    return samples_from_table(
        table() if values is None else values, IDS, shape=(2, 3), baselines=BASELINES, **{"donors": 11, **options}
    )


def build(given=None, **options):
    return build_head_scores(given or samples(), architecture(), **{"draws": 1999, "bootstrap": 300, **options})


@pytest.fixture(scope="module", name="scores")
def built_once():
    return build(options={"rule": "area"}, provenance={"model": "embedded"})


def test_the_score_is_the_mean_over_pictures(scores):
    values = table()[range(COUNT), range(COUNT)].astype(np.float64).mean(axis=0)
    assert scores.values["head_impact"] == pytest.approx(values[:6].reshape(2, 3), abs=1e-6)
    assert scores.layer_values["head_impact"] == pytest.approx(values[:6].reshape(2, 3).mean(axis=1), abs=1e-6)
    assert scores.baselines == pytest.approx(dict(zip(BASELINES, values[6:], strict=True)))
    assert all(array.dtype == np.float32 for array in scores.values.values())


def test_score_is_chance_plus_gap_within_the_interval(scores):
    for values in (scores.values, scores.layer_values):
        assert values["head_impact"] == pytest.approx(values["null_mean"] + values["gap"], abs=1e-6)
        assert (values["gap_low"] < values["gap"]).all()
        assert (values["gap"] < values["gap_high"]).all()
        assert (values["q"] >= values["p"] - 1e-7).all()


@pytest.mark.parametrize("rule", ["mean", "max", "top-2"])
def test_score_minus_chance_is_the_gap_in_every_row(rule):
    values = table()
    values[2, [5, 7, 11]] = np.nan  # masks that say nothing on a picture's grid
    values[:2, :, 4] = np.nan  # a head that sees nothing of two pictures
    found = build(samples(values), layer_aggregation=rule)
    for rows in (found.values, found.layer_values, *found.baseline_statistics.values()):
        assert rows["head_impact"] - rows["null_mean"] == pytest.approx(rows["gap"], abs=1e-6)
    assert found.warnings == ()


def test_a_picture_without_another_mask_counts_in_the_score_alone():
    values = table()
    rest = np.arange(COUNT) != 3
    values[3, rest] = np.nan
    found = build(samples(values))
    own = values[range(COUNT), range(COUNT), :6].astype(np.float64)
    assert found.values["head_impact"].ravel() == pytest.approx(own.mean(axis=0), abs=1e-6)
    with_others = found.values["null_mean"] + found.values["gap"]
    assert with_others.ravel() == pytest.approx(own[rest].mean(axis=0), abs=1e-6)
    for name in ("null_mean", "gap"):
        assert found.layer_values[name] == pytest.approx(found.values[name].mean(axis=1), abs=1e-6)
    assert found.warnings[0].startswith("1 of 24 pictures have no other picture whose mask they can be held against")


def test_pictures_in_which_some_head_has_a_score_are_counted():
    values = table()
    values[:5] = np.nan
    values[:4, :, 1] = 0.5
    found = build(samples(values))
    assert (found.counts["used"], found.counts["with_score"]) == (COUNT, COUNT - 1)


def test_only_the_planted_head_and_its_layer_are_found(scores):
    assert (scores.values["q"] <= 0.05).nonzero() == (np.array([1]), np.array([1]))
    assert scores.values["p"][1, 1] == pytest.approx(1 / 2000)
    assert scores.values["gap"][1, 1] == pytest.approx(0.3, abs=0.03)
    assert (scores.layer_values["q"] <= 0.05).tolist() == [False, True]
    assert scores.values["z"][1, 1] > 5
    assert scores.baseline_statistics["uniform"]["p"] > 0.05
    assert {"gap_low", "null_mean", "z"} <= set(scores.baseline_statistics["centre"])


def test_what_was_asked_for_is_written_beside_the_numbers(scores):
    assert scores.options == {
        "rule": "area",
        "layer_aggregation": "mean",
        "draws": 1999,
        "bootstrap": 300,
        "seed": 0,
    }
    assert scores.provenance == {"model": "embedded"}
    assert scores.counts == {"used": COUNT, "with_score": COUNT, "skipped": {}, "blind_heads": 0, "largest_group": 12}
    assert scores.image_hashes == tuple(sorted(hash_texts([image_id]) for image_id in IDS))
    assert scores.warnings == ()


def test_a_score_goes_by_its_own_name(scores):
    found = build(options={"score": "auroc"})
    assert found.score == "auroc"
    for mine, theirs in ((found.values, scores.values), (found.layer_values, scores.layer_values)):
        assert "head_impact" not in mine
        assert np.array_equal(mine["auroc"], theirs["head_impact"])
        assert np.array_equal(mine["p"], theirs["p"])
    assert found.held_out[0]["auroc_chosen"] == scores.held_out[0]["head_impact_chosen"]
    assert found.baseline_statistics["uniform"]["auroc"] == scores.baselines["uniform"]


def test_a_score_that_no_mask_takes_part_in_has_no_chance_level():
    pictures = [
        dataclasses.replace(picture, donors=np.zeros((0, 2, 3), np.float32), donor_ids=(), baselines={})
        for picture in samples().pictures()
    ]
    found = build(SampleScores.from_pictures(pictures), options={"score": "image_attention"})
    assert found.values["image_attention"] == pytest.approx(build().values["head_impact"], abs=1e-6)
    for values in (found.values, found.layer_values):
        for name in ("null_mean", "gap", "gap_low", "gap_high", "z"):
            assert np.isnan(values[name]).all(), name
        assert (values["p"] == 1).all()
    assert found.baselines == {}


def test_own_masks_are_held_against_chance_as_measured_like_the_others():
    """A score of the mask alone, with own masks measured a little differently: nothing may be found."""
    by_mask = np.random.default_rng(5).random(COUNT).astype(np.float32)
    pictures = []
    for picture in samples(np.broadcast_to(by_mask[None, :, None], (COUNT, COUNT, 8)).copy()).pictures():
        own = np.full((1, 2, 3), by_mask[IDS.index(picture.image_id)], np.float32)
        with_own = np.concatenate([own, picture.donors])
        baselines = {
            name: np.insert(np.append(values[0] + 0.01, values[1:]), 1, values[0])
            for name, values in picture.baselines.items()
        }
        pictures.append(
            dataclasses.replace(
                picture,
                own=picture.own + np.float32(0.01),
                donors=with_own,
                donor_ids=(picture.image_id, *picture.donor_ids),
                baselines=baselines,
            )
        )
    found = build(SampleScores.from_pictures(pictures))
    assert found.values["head_impact"] == pytest.approx(by_mask.mean() + 0.01, abs=1e-6)
    assert found.values["gap"] == pytest.approx(0.01, abs=1e-6)
    assert np.isnan(found.values["z"]).all()
    assert (found.values["p"] == 1).all()
    assert found.baseline_statistics["uniform"]["p"] == 1
    assert found.baselines["uniform"] == pytest.approx(by_mask.mean() + 0.01, abs=1e-6)


def test_the_best_head_is_reported_on_pictures_it_was_not_chosen_on(scores):
    assert len(scores.held_out) == 2
    for half in scores.held_out:
        assert (half["layer_idx"], half["head_idx"]) == (1, 1)
        assert half["chosen_on"] == half["reported_on"] == COUNT / 2
        assert half["gap_low"] < half["gap"] < half["gap_high"]
        assert half["gap"] == pytest.approx(0.3, abs=0.05)
    assert scores.held_out[0]["head_impact"] == pytest.approx(scores.held_out[1]["head_impact_chosen"])


def test_luck_does_not_carry_over_to_the_other_half():
    given = samples(np.random.default_rng(3).random((COUNT, COUNT, 8)).astype(np.float32))
    halves = [half for seed in range(10) for half in build(given, seed=seed, bootstrap=10).held_out]
    luck = np.mean([half["head_impact_chosen"] - half["head_impact"] for half in halves])
    assert luck > 0.05
    assert abs(np.mean([half["gap"] for half in halves])) < 0.1


def test_order_of_pictures_and_shards_does_not_change_a_bit(scores, tmp_path):
    pictures = samples().pictures()
    other = build(SampleScores.join([SampleScores.from_pictures(part) for part in (pictures[15:], pictures[:15])]))
    dataclasses.replace(other, options={}, provenance={}).write(tmp_path / "a")
    dataclasses.replace(scores, options={}, provenance={}).write(tmp_path / "b")
    for name in ("head_scores.json", "head_scores.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("rule", ["max", "top-2"])
def test_layers_are_put_together_within_each_draw(rule):
    scores = build(layer_aggregation=rule)
    heads = np.sort(scores.values["head_impact"], axis=1)
    expected = heads[:, -1:] if rule == "max" else heads[:, -2:]
    assert scores.layer_values["head_impact"] == pytest.approx(expected.mean(axis=1), abs=1e-6)
    # The best of three heads is high by chance, too: its chance level is above every head's own.
    assert (scores.layer_values["null_mean"] > np.sort(scores.values["null_mean"], axis=1)[:, 0]).all()
    assert scores.layer_values["p"][0] > 0.05
    assert scores.layer_values["p"][1] == pytest.approx(1 / 2000)
    assert (scores.layer_values["gap_low"] <= scores.layer_values["gap"]).all()
    assert (scores.layer_values["gap"] <= scores.layer_values["gap_high"]).all()


def blinded(head, unseen):
    """Let a head see nothing of the first pictures."""
    values = table()
    values[:unseen, :, head] = np.nan
    given = samples(values)
    sees = given.sees_image.copy()
    sees[:unseen, head // 3, head % 3] = 0.0
    return build(dataclasses.replace(given, sees_image=sees))


def test_a_head_that_hardly_ever_sees_the_image_has_no_score(scores):
    blind = blinded(4, unseen=3)
    for name, values in blind.values.items():
        assert np.isnan(values).tolist() == [[False] * 3, [False, True, False]], name
        assert not np.isnan(blind.layer_values[name]).any()
    assert blind.counts["blind_heads"] == 1
    assert blind.warnings == ("1 of 6 heads see no image token in over 10 % of the samples and have no score.",)
    assert blind.layer_values["head_impact"][1] == pytest.approx(blind.values["head_impact"][1, [0, 2]].mean())
    assert blind.layer_values["head_impact"][0] == scores.layer_values["head_impact"][0]
    assert all((half["layer_idx"], half["head_idx"]) != (1, 1) for half in blind.held_out)


def test_a_head_that_misses_few_samples_is_averaged_over_the_others():
    seen = blinded(4, unseen=2)
    expected = table()[range(2, COUNT), range(2, COUNT), 4].mean()
    assert seen.values["head_impact"][1, 1] == pytest.approx(expected, abs=1e-6)
    assert seen.values["q"][1, 1] <= 0.05


def test_a_blind_layer_has_no_score():
    values, sees = table(), np.ones((COUNT, 2, 3), dtype=np.float32)
    values[:, :, :3], sees[:, 0] = np.nan, 0.0
    scores = build(dataclasses.replace(samples(values), sees_image=sees))
    assert np.isnan(scores.layer_values["head_impact"]).tolist() == [True, False]
    assert np.isnan(scores.layer_values["q"]).tolist() == [True, False]


def test_skips_are_counted_by_reason():
    given = dataclasses.replace(samples(), skipped={"x": "cropped_away", "y": "covers_too_much", "z": "cropped_away"})
    assert build(given).counts["skipped"] == {"covers_too_much": 1, "cropped_away": 2}


def test_few_pictures_are_scored_with_a_warning():
    one = build(samples_from_table(table()[:1, :1], IDS[:1], shape=(2, 3), baselines=BASELINES))
    assert (one.values["p"] == 1).all()
    assert np.isnan(one.values["gap"]).all()
    assert one.held_out == ()
    assert "Only 1 picture was scored" in one.warnings[0]


def test_default_draws_follow_the_heads():
    assert build(draws=None, bootstrap=10).options["draws"] == 10_000


BAD = {
    "no sample": (
        lambda: build(SampleScores.from_pictures([], skipped={"a": "cropped_away"}, shape=(2, 3))),
        DataFormatError,
        "No sample left to score: 1 cropped_away. Expected at least one picture",
    ),
    "other model": (
        lambda: build_head_scores(samples(), architecture(num_layers=5)),
        DataFormatError,
        "2 layers of 3 heads, expected 5 of 3",
    ),
    "layer rule": (lambda: build(layer_aggregation="top-9"), OptionError, "top-M with M from 1 to 3"),
    "draws": (lambda: build(draws=0), OptionError, "Number of draws out of range"),
}


@pytest.mark.parametrize(("use", "error", "message"), BAD.values(), ids=BAD)
def test_refused(use, error, message):
    with pytest.raises(error, match=message):
        use()
