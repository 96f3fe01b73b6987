import dataclasses

import numpy as np
import pytest

from headimpact.comparison.knockout_table import KnockoutTable
from headimpact.comparison.knockout_verdict import agreement_sentence, screen_sentence
from headimpact.comparison.knockouts import KnockoutSamples, compare_knockouts
from headimpact.comparison.score_agreement import measures_by_picture
from headimpact.core.errors import DataFormatError
from headimpact.scoring.rank_agreement import spearman
from headimpact.selection.knockout_sets import choose_knockout_sets
from tests.unit.selection.test_knockout_sets import scored

LAYERS, HEADS, PICTURES = 24, 4, 40


def effects(*, follow: float, seed=1) -> np.ndarray:
    """What each head is worth for the loss: in part what it scores, in part something else."""
    other = np.random.default_rng(seed).random((LAYERS, HEADS))
    worth: np.ndarray = follow * scored(LAYERS).values["head_impact"] + (1 - follow) * other
    return worth


def measured(worth, *, each="head", noise=0.05, naming=False, draws=19):
    """Rises of the loss as if heads added up, with noise by picture."""
    scores, generator = scored(LAYERS), np.random.default_rng(7)
    sets = choose_knockout_sets(scores, k=2, head_k=6, draws=draws, each=each, seed=0)
    sums = np.array([sum(worth[head] for head in heads) for heads in sets.sets])
    rises = sums + noise * generator.standard_normal((PICTURES, len(sums)))
    names = np.zeros((PICTURES, 0))
    if naming:
        arms = [sets.sets[column] for column in sets.arm_columns()]
        names = np.tile([1.0, *(float(len(heads) < LAYERS * HEADS) for heads in arms)], (PICTURES, 1))
    gates = np.sqrt(np.maximum(worth, 0)) * np.ones((PICTURES, 1, 1))
    ids = tuple(f"picture-{number}" for number in range(PICTURES))
    samples = KnockoutSamples(ids, np.full(PICTURES, 0.5), rises, gates, names)
    return samples, sets, scores


def table(worth, *, margin=0.05, **options) -> KnockoutTable:
    return compare_knockouts(*measured(worth, **options), margin=margin, resamples=100, seed=0)


def test_numbers_of_an_arm_are_means_over_its_draws():
    samples, sets, scores = measured(effects(follow=1.0))
    found = compare_knockouts(samples, sets, scores, margin=0.05, resamples=100, seed=0)
    columns = sets.arm("layers", "random").columns
    row = found.row("layers", "random")
    assert row is not None
    assert row.rise.value == pytest.approx(samples.rises[:, list(columns)].mean())
    assert row.rise.low < row.rise.value < row.rise.high
    assert [value for value, _ in row.points] == pytest.approx(samples.rises[:, list(columns)].mean(axis=0).tolist())
    assert row.points[0][1].startswith("layers ")
    assert found.blind.value == pytest.approx(samples.rises[:, 0].mean())
    assert found.plain.value == 0.5
    assert found.chosen == tuple(sorted({layer for layer, _ in sets.sets[sets.arm("layers", "top-k").columns[0]]}))


def test_a_score_that_says_what_matters_is_found_to_matter_more():
    found = table(effects(follow=1.0))
    assert {name: verdict.answer for name, verdict in found.verdicts.items()} == {
        "layers against random": "matter more",
        "layers against depth-matched": "matter more",
        "heads against random": "matter more",
        "heads against depth-matched": "matter more",
    }
    assert screen_sentence(found).startswith("Yes: for the loss, the layers of highest Head Impact (")
    assert "matter more than layers of the same depth" in screen_sentence(found)
    assert "rank alike: Spearman +1.00" in agreement_sentence(found)


def test_a_score_that_says_the_contrary_is_found_to_matter_less():
    found = table(1.0 - effects(follow=1.0))
    assert found.verdicts["layers against random"].answer == "matter less"
    assert screen_sentence(found).startswith("No: for the loss")
    assert "rank the other way round: Spearman -1.00" in agreement_sentence(found)


def test_equal_heads_show_no_difference():
    found = table(np.full((LAYERS, HEADS), 0.5), noise=0.0)
    assert found.verdict is not None
    assert found.verdict.answer == "no measurable difference"
    assert screen_sentence(found).startswith("No measurable difference for the loss between the layers")


def test_too_few_draws_decide_nothing():
    found = table(effects(follow=1.0), draws=5)
    assert found.verdict is not None
    assert found.verdict.answer == "undecided"
    assert found.verdict.evidence.difference.low > 0
    assert screen_sentence(found).startswith("Undecided whether")


def test_where_the_answer_does_not_need_the_picture_there_is_no_verdict():
    found = table(np.zeros((LAYERS, HEADS)), noise=0.1)
    assert found.verdict is None
    assert found.verdicts == {}
    assert "these answers do not need it" in screen_sentence(found)
    assert screen_sentence(found) in found.notes


@pytest.mark.parametrize("each", ["head", "layer", "none"])
def test_measures_stand_side_by_side(each):
    worth = effects(follow=0.5)
    samples, sets, scores = measured(worth, each=each, noise=0.0)
    found = measures_by_picture(samples.rises, samples.gates, sets, scores)
    np.testing.assert_allclose(found["gate_gradient"].mean(axis=-1), worth)
    np.testing.assert_allclose(found["layer_gate_gradient"].mean(axis=-1), worth.mean(axis=1))
    if each == "head":
        np.testing.assert_allclose(found["knockout"].mean(axis=-1), worth)
    if each == "layer":
        np.testing.assert_allclose(found["layer_knockout"].mean(axis=-1), worth.sum(axis=1))
    assert ("knockout" in found, "layer_knockout" in found) == (each == "head", each == "layer")


def test_agreement_is_that_of_the_rankings():
    worth = effects(follow=0.6)
    samples, sets, scores = measured(worth, noise=0.0)
    found = compare_knockouts(samples, sets, scores, margin=0.05, resamples=100, seed=0)
    pair = next(one for one in found.agreements if (one.unit, one.second) == ("heads", "knockout"))
    assert pair.first == "head_impact"
    assert pair.plain.value == pytest.approx(spearman(scores.values["head_impact"].ravel(), worth.ravel()))
    assert pair.plain.low < pair.plain.value < pair.plain.high
    top = set(np.argsort(-scores.values["head_impact"].ravel())[:6]) & set(np.argsort(-worth.ravel())[:6])
    assert (pair.shared, pair.places, pair.by_chance) == (len(top), 6, 36 / 96)
    pairs = {(one.unit, one.first, one.second) for one in found.agreements}
    assert ("layers", "head_impact", "gate_gradient") in pairs
    assert ("heads", "gate_gradient", "knockout") in pairs


def test_falls_of_recall_are_measured_where_answers_were_written():
    found = table(effects(follow=1.0), naming=True)
    assert found.recall is not None
    assert found.recall.value == 1.0
    assert [row.fall and row.fall.value for row in found.rows] == [0.0] * 8
    assert all(row.fall is None for row in table(effects(follow=1.0)).rows)


def test_a_table_is_read_as_it_was_written(tmp_path):
    found = table(effects(follow=0.5), naming=True)
    found.write(tmp_path)
    again = KnockoutTable.read(tmp_path)
    one, other = (dataclasses.asdict(dataclasses.replace(this, values={})) for this in (again, found))
    assert one == other
    assert set(again.values) == set(found.values)
    for name, values in found.values.items():
        np.testing.assert_array_equal(again.values[name], values)


def test_a_broken_table_is_refused(tmp_path):
    table(effects(follow=0.5)).write(tmp_path)
    path = tmp_path / "knockout.json"
    path.write_text(path.read_text().replace('"blind"', '"bland"'))
    with pytest.raises(DataFormatError, match=r"Not a knockout run.*headimpact knockout; run it again"):
        KnockoutTable.read(tmp_path)


def test_a_loss_that_falls_without_random_heads_is_named():
    worth = effects(follow=0.5)
    samples, sets, scores = measured(-worth)
    samples = dataclasses.replace(samples, rises=np.concatenate([-samples.rises[:, :1], samples.rises[:, 1:]], axis=1))
    found = compare_knockouts(samples, sets, scores, margin=0.05, resamples=100, seed=0)
    assert any("surer of other answers than of these references" in note for note in found.notes)
    assert not any("surer" in note for note in table(worth).notes)


def test_one_picture_decides_nothing():
    samples, sets, scores = measured(effects(follow=1.0))
    first = KnockoutSamples(samples.image_ids[:1], *(part[:1] for part in list(vars(samples).values())[1:]))
    found = compare_knockouts(first, sets, scores, margin=0.05, resamples=100, seed=0)
    assert {verdict.answer for verdict in found.verdicts.values()} == {"undecided"}
    assert any(note.startswith("Only 1 picture was tested") for note in found.notes)
    assert {verdict.answer for verdict in table(effects(follow=1.0)).verdicts.values()} == {"matter more"}
