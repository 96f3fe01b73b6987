"""From runs to verdicts, and the rates at which the verdicts come under known truths."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest

from headimpact.comparison.compare import compare_runs
from headimpact.comparison.runs import find_runs
from headimpact.core.errors import DataFormatError, IncompatibleRunsError, OptionError
from headimpact.evaluation.metrics import METRICS
from tests.unit.comparison.makers import arm, run, write_run

IMAGES = 60


def compare(runs, *, seed=0, margin=0.05, resamples=300, primary="exact_match", **more):
    generator = np.random.default_rng(seed)
    return compare_runs(runs, primary=primary, margin=margin, generator=generator, resamples=resamples, **more)


def answers(generator, skill, *, images=IMAGES, difficulty=None):
    """Which pictures a run gets right: skill in [0, 1], difficulty shared between runs."""
    difficulty = np.zeros(images) if difficulty is None else difficulty
    return (generator.random(images) < np.clip(skill + difficulty, 0, 1)).astype(float)


def simulate(seed, *, effect=0.0, draws=24, seeds=1, between=0.05, images=IMAGES, base=0.3):
    """Runs of base, top and random draws; a draw's skill varies, top's is one more plus the effect."""
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(0, 0.2, size=images)
    skills = np.clip(0.5 + between * generator.normal(size=draws + 1), 0, 1)
    runs = [run(arm("base"), answers(generator, base, images=images, difficulty=difficulty))]
    for s in range(seeds):
        one = answers(generator, skills[0] + effect, images=images, difficulty=difficulty)
        runs.append(run(arm("top-k", layers=(1, 2), seed=s), one))
    for d, s in itertools.product(range(draws), range(seeds)):
        one = answers(generator, skills[d + 1], images=images, difficulty=difficulty)
        runs.append(run(arm("random", layers=(d, 11), draw=d, seed=s, choosable_layers=30), one))
    return runs


@functools.cache
def simulated_answers(repetitions, options):
    tables = (compare(simulate(seed, **dict(options)), resamples=100) for seed in range(repetitions))
    return [table.verdict.answer for table in tables]


def rate(word, repetitions, **options):
    return simulated_answers(repetitions, tuple(options.items())).count(word) / repetitions


@pytest.mark.parametrize(
    ("options", "repetitions"),
    [
        pytest.param({}, 150, id="usual"),
        pytest.param({"between": 0.2, "seeds": 2, "draws": 19}, 150, id="draws differ, two seeds, nineteen"),
        pytest.param({"between": 0.0}, 1000, id="draws alike", marks=pytest.mark.slow),
        pytest.param({"draws": 40}, 1000, id="forty", marks=pytest.mark.slow),
        pytest.param({"between": 0.2, "seeds": 3}, 1000, id="draws differ, three seeds", marks=pytest.mark.slow),
    ],
)
def test_benefit_comes_by_chance_in_at_most_five_percent(options, repetitions):
    limit = 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / repetitions)
    assert rate("benefit", repetitions, **options) <= limit
    assert rate("worse", repetitions, **options) <= limit


def test_a_planted_effect_is_found():
    assert rate("benefit", 40, effect=0.3) >= 0.9
    assert rate("worse", 40, effect=-0.3) >= 0.9


def test_control_an_unpaired_test_without_ranks_would_cry_benefit():
    """Without the rank condition, top above the mean of draws that differ is called a benefit far too often."""
    tables = [compare(simulate(seed, between=0.2), resamples=100) for seed in range(60)]
    naive = [table.verdict.evidence.difference.low > 0 for table in tables]
    assert np.mean(naive) > 0.15


def test_three_draws_are_never_enough_for_a_benefit():
    assert rate("benefit", 30, effect=0.4, draws=3) == 0.0
    table = compare(simulate(0, effect=0.4, draws=3))
    assert table.verdict.draws_needed == 19
    assert any("smallest possible rank p is 0.250" in note for note in table.notes)


def test_nothing_between_precise_runs_is_no_measurable_benefit():
    same = np.tile([1.0, 0.0, 1.0], 20)
    runs = [run(arm("base"), same * 0), run(arm("top-k"), same)]
    runs += [run(arm("random", draw=d), same) for d in range(3)]
    table = compare(runs)
    assert table.verdict.answer == "no measurable benefit"
    assert table.verdict.evidence.difference.value == 0.0
    assert any("Only 1 of the 3 random draws" in note for note in table.notes)


def test_the_interval_of_a_paired_difference_covers_the_truth():
    """Top is one fixed choice 0.1 above the mean of the draws; its interval holds 0.1 in about 95 %."""
    held = 0
    for seed in range(100):
        difference = compare(
            simulate(seed, effect=0.1, between=0.0, seeds=3, draws=6), resamples=200
        ).verdict.evidence.difference
        held += difference.low <= 0.1 <= difference.high
    assert held / 100 >= 0.88


def test_pictures_are_paired():
    """Runs that are right on the same pictures differ by a constant, so their difference has no spread."""
    generator = np.random.default_rng(0)
    right = generator.random(IMAGES) * 0.8
    runs = [run(arm("base"), right), run(arm("top-k"), right + 0.1), run(arm("last-n"), right + 0.2)]
    runs += [run(arm("random", draw=d), right) for d in range(4)]
    table = compare(runs)
    rows = {row.arm: row for row in table.rows}
    assert rows["top-k"].shifts["exact_match"].value == pytest.approx(0.1)
    assert rows["top-k"].shifts["exact_match"].standard_error == pytest.approx(0.0, abs=1e-12)
    assert rows["last-n"].against_random["exact_match"].low == pytest.approx(0.2)
    assert rows["top-k"].values["exact_match"].standard_error > 0.02


def test_seeds_are_averaged_within_draws_and_draws_count_alike():
    runs = [run(arm("top-k"), [1, 1, 1, 1])]
    runs += [run(arm("random", draw=0, seed=s), [value] * 4) for s, value in enumerate((0.0, 0.5, 1.0))]
    runs += [run(arm("random", draw=1, layers=(3, 4)), [0.1] * 4)]
    table = compare(runs)
    row = next(row for row in table.rows if row.arm == "random")
    assert row.values["exact_match"].value == pytest.approx((0.5 + 0.1) / 2)
    assert (row.draws, row.seeds, len(row.points)) == (2, 3, 4)
    assert table.verdict.evidence.draws == 2


def test_size_of_the_shift_and_its_direction_are_two_things():
    """Top moves far down, random draws move a little up: a large shift, and worse."""
    runs = [run(arm("base"), np.full(40, 0.5)), run(arm("top-k"), np.full(40, 0.1))]
    runs += [run(arm("random", draw=d), np.full(40, 0.55 + 0.002 * d)) for d in range(19)]
    table = compare(runs)
    assert table.verdict.answer == "worse"
    assert table.shift_verdict.answer == "larger shift"
    assert table.shift_verdict.evidence.value == pytest.approx(0.4)
    assert table.shift_verdict.evidence.random_mean == pytest.approx(0.05 + 0.002 * 9)
    top = next(row for row in table.rows if row.arm == "top-k")
    assert top.shifts["exact_match"].value == pytest.approx(-0.4)


def test_depth_matched_draws_get_their_own_verdict():
    runs = simulate(1, effect=0.3)
    generator = np.random.default_rng(1)
    runs += [run(arm("depth-matched", draw=d), answers(generator, 0.8)) for d in range(5)]
    table = compare(runs)
    assert table.depth_matched_verdict.evidence.against == "depth-matched"
    assert table.depth_matched_verdict.evidence.draws == 5
    assert compare(simulate(1)).depth_matched_verdict is None


def subsets(top, values, *, choosable_layers=4, k=2, leave_out=()):
    runs = [run(arm("top-k", layers=top, choosable_layers=choosable_layers), [values[top]] * 5)]
    others = [s for s in itertools.combinations(range(choosable_layers), k) if s not in {top, *leave_out}]
    return runs + [
        run(arm("random", layers=s, draw=d, choosable_layers=choosable_layers), [values[s]] * 5)
        for d, s in enumerate(others)
    ]


def test_with_all_subsets_tops_percentile_is_given():
    values = {s: index / 10 for index, s in enumerate(itertools.combinations(range(4), 2))}
    place = compare(subsets((1, 2), values)).exhaustive
    assert (place.subsets, place.rank) == (6, 3)
    assert place.percentile == pytest.approx(3 / 5)
    assert "number 3 in exact match; it beats 60% of the others" in " ".join(
        compare(subsets((1, 2), values)).sentences()
    )


def test_ties_share_the_better_place_and_count_half():
    values = dict.fromkeys(itertools.combinations(range(4), 2), 0.5)
    place = compare(subsets((1, 2), values)).exhaustive
    assert (place.rank, place.percentile) == (1, 0.5)


def test_bottom_and_last_layers_complete_the_subsets_and_a_missing_one_does_not():
    values = {s: index / 10 for index, s in enumerate(itertools.combinations(range(4), 2))}
    runs = subsets((1, 2), values, leave_out=[(2, 3)])
    assert compare(runs).exhaustive is None
    completed = [*runs, run(arm("last-n", layers=(2, 3), choosable_layers=4), [values[2, 3]] * 5)]
    assert compare(completed).exhaustive.subsets == 6
    assert compare(runs).verdict.evidence.max_draws == 5


def test_arms_come_in_a_fixed_order_and_the_order_of_runs_does_not_matter():
    runs = simulate(3, draws=4)
    runs += [run(arm(s), np.ones(IMAGES)) for s in ("zeta", "all", "last-n", "bottom-k")]
    table = compare(runs)
    assert [row.arm for row in table.rows] == ["base", "top-k", "bottom-k", "random", "last-n", "all", "zeta"]
    assert compare(runs[::-1]) == table
    assert compare(runs, seed=1) != table


def test_without_top_or_random_there_is_a_table_and_a_note_but_no_verdict():
    table = compare([run(arm("base"), [0, 1]), run(arm("all", layers=range(12)), [1, 1])])
    assert table.verdict is table.shift_verdict is table.depth_matched_verdict is table.exhaustive is None
    assert "No run of top-k or random was given" in table.notes[0]
    assert table.notes[-1].startswith("Only 2 pictures were tested")
    assert table.rows[1].shifts["exact_match"].value == 0.5
    assert table.rows[1].against_random == {}


def test_every_metric_of_run_folders_is_compared_and_resampled(tmp_path):
    generator = np.random.default_rng(0)
    write_run(tmp_path / "base", strategy="base", correct=generator.random(30) < 0.2)
    write_run(tmp_path / "top", strategy="top-k", correct=generator.random(30) < 0.8)
    for d in range(3):
        write_run(tmp_path / f"random-{d}", draw=d, correct=generator.random(30) < 0.5)
    runs = find_runs([tmp_path]).runs
    measured = [name for name in METRICS if name in runs[0].values]
    assert {"exact_match", "bleu_4", "cider_d"} < set(measured)
    table = compare(runs, primary="cider_d", notes=["unfinished: x"])
    assert table.images == 30
    assert table.notes[0] == "unfinished: x"
    for row in table.rows:
        assert list(row.values) == measured
        for name, found in row.values.items():
            assert found.low <= found.value <= found.high, name
    assert table.rows[1].points[0].run == "top"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"margin": 0.0}, OptionError, "Margin is 0.0", id="margin"),
        pytest.param({"margin": float("nan")}, OptionError, "Margin is nan", id="nan"),
        pytest.param({"resamples": 99}, OptionError, "99 bootstrap resamples", id="resamples"),
        pytest.param(
            {"primary": "exact_mach"}, DataFormatError, "base-0-0 lacks .*Did you mean 'exact_match'", id="primary"
        ),
    ],
)
def test_refuses_options(options, error, message):
    with pytest.raises(error, match=message):
        compare(simulate(0, draws=2), **options)


def test_refuses_incomparable_runs_and_changed_files():
    with pytest.raises(IncompatibleRunsError, match="got 1 finished run"):
        compare([run(arm("base"), [1])])
    changed = run(arm("random"), [1, 0])
    changed.values["exact_match"] = 0.7
    with pytest.raises(DataFormatError, match=r"random-0-0 says exact_match 0\.700000, but its parts give 0\.500000"):
        compare([run(arm("top-k"), [1, 1]), changed])


def test_sets_of_heads_are_not_counted_as_sets_of_layers():
    """The control: the same arms as whole layers are every set there is."""
    runs = subsets((0, 1), {one: 0.1 * sum(one) for one in itertools.combinations(range(4), 2)})
    assert compare(runs).exhaustive is not None
    heads = [
        dataclasses.replace(one, arm=dataclasses.replace(one.arm, heads=tuple((layer, 0) for layer in one.arm.layers)))
        for one in runs
    ]
    assert compare(heads).exhaustive is None
