"""What is refused before an experiment starts, and what a dry run foresees."""

import dataclasses
from typing import Any

import pytest

from headimpact.core.errors import HeadImpactError, OptionError
from headimpact.workflows.experiment_configs import DemoConfig, ExperimentConfig
from headimpact.workflows.experiment_estimates import Estimate, estimate_experiment
from headimpact.workflows.experiment_options import check_arms, check_options, needed_splits
from headimpact.workflows.experiment_plan import PlannedRun, for_task, grid, planned_runs
from headimpact.workflows.experiment_runs import share_arms
from tests.integration.makers import TINY


def test_a_study_that_tunes_every_set_takes_no_number_of_random_draws(tmp_path):
    config = DemoConfig(out=tmp_path, exhaustive=True)
    check_options(config)
    with pytest.raises(OptionError, match="--random-draws is 7, but every set of layers is tuned here"):
        check_options(dataclasses.replace(config, random_draws=7))
    check_options(dataclasses.replace(config, random_draws=7, exhaustive=False))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "step": ({"step": "tunes"}, "Unknown step 'tunes'. Did you mean 'tune'"),
    "arm": ({"arms": ("top-k", "random", "heads")}, "Unknown arm 'heads'"),
    "no chance level": ({"arms": ("top-k", "last-n")}, "without random; expected top-k and random among them"),
    "task": ({"evaluate_tasks": ("vqna",)}, "Unknown task 'vqna'. Did you mean 'vqa'"),
    "task twice": ({"evaluate_tasks": ("vqa", "vqa")}, "A task is named twice: vqa vqa"),
    "template without questions": ({"answer_template": "bare"}, "no task is vqa. Leave it out"),
    "tokenizer": ({"tokenizer": "pbt"}, "Unknown tokenizer 'pbt'. Did you mean 'ptb'"),
    "no seed": ({"seeds": 0}, "--seeds is 0; expected 1 or more"),
    "negative draws": ({"depth_matched_draws": -1}, "--depth-matched-draws is -1; expected 0 or more"),
    "k and budget": ({"k": 1, "budget": "1%"}, "Both --k 1 and --budget 1% given"),
    "two metrics for one task": ({"primary": ("bleu_1", "bleu_4")}, "--primary has 2 values for 1 evaluated tasks"),
    "metric": ({"primary": ("cidr_d",)}, "Did you mean 'cider_d'"),
    "margin": ({"margin": (0.0,)}, "--margin is 0.0; expected a difference above 0"),
    "rank twice": ({"r": (8, 8)}, r"--r is \(8, 8\); expected one value or several different ones"),
    "rank": ({"r": (0,)}, "r must be above 0"),
    "no rate": ({"learning_rate": ()}, "--learning-rate is"),
    "grid without a judge": (
        {"learning_rate": (0.1, 0.2), "evaluate_tasks": ("vqa",)},
        "A grid of 2 settings is judged by what is learned, 'captioning', which is not among --evaluate-tasks vqa",
    ),
    "resamples": ({"bootstrap": 9}, "--bootstrap is 9; expected at least 100"),
    "device": ({"tflops": 0.0}, "--tflops is 0.0; expected a number above 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_cannot_be_meant_are_refused(tmp_path, name):
    changes, message = REFUSED[name]
    with pytest.raises(HeadImpactError, match=message):
        check_options(ExperimentConfig(out=tmp_path, **changes))


def test_runs_have_whole_seeds_first_and_only_the_arms_asked_for(tmp_path):
    config = ExperimentConfig(out=tmp_path, seeds=2, r=(4, 8), arm=("random-0",))
    runs = planned_runs(config, ["top-k", "random-0"])
    assert runs == [PlannedRun("random-0", r, seed) for seed in range(2) for r in (4, 8)]
    assert runs[1].name == "random-0-r8-seed0"
    with pytest.raises(OptionError, match="Unknown arm 'random-0'"):
        planned_runs(config, ["top-k", "random-1"])


def test_processes_share_all_arms_and_none_twice(tmp_path):
    arms = ["top-k", "random-0", "random-1", "last-n"]
    shares = [share_arms(ExperimentConfig(out=tmp_path), arms, rank=rank, count=2) for rank in range(2)]
    assert shares == [("base", "random-0", "last-n"), ("top-k", "random-1")]
    assert share_arms(ExperimentConfig(out=tmp_path, arm=("last-n",)), arms, rank=0, count=1) == ("last-n",)


def test_a_grid_is_every_rate_with_every_length_and_needs_the_validation_split(tmp_path):
    config = ExperimentConfig(out=tmp_path, learning_rate=(1e-3, 0.01), max_steps=(5, 10))
    assert [point.name for point in grid(config)] == [
        "lr0.001-steps5", "lr0.001-steps10", "lr0.01-steps5", "lr0.01-steps10",
    ]  # fmt: skip
    assert "validation" in needed_splits(config)
    assert "validation" not in needed_splits(ExperimentConfig(out=tmp_path))


def test_one_value_serves_all_tasks_and_several_one_each(tmp_path):
    config = ExperimentConfig(out=tmp_path, evaluate_tasks=("captioning", "vqa"), margin=(0.1, 0.2))
    assert [for_task(config.margin, config, task) for task in config.evaluate_tasks] == [0.1, 0.2]
    assert for_task(config.primary, config, "vqa") == "exact_match"


def test_the_estimate_by_hand(tmp_path):
    """Two arms of two seeds: 4 runs of 3 steps of 5 pictures, 5 evaluations of 7 pictures, 10 pictures scored."""
    config = ExperimentConfig(
        out=tmp_path, arms=("top-k", "random"), random_draws=1, seeds=2, k=1, r=(2,), max_steps=(3,), batch_size=5,
        baseline=None, tokens=100, max_new_tokens=20, device="cpu",
    )  # fmt: skip
    counts = {"calibration": 10, "train": 9, "validation": 4, "test": 7}
    found = estimate_experiment(config, TINY, check_arms(config, TINY), counts)
    per_token = 2 * TINY.total_parameters
    tuning, speaking = 4 * 3 * 5 * 2 * 100, 5 * 7 * 120
    assert found.operations == per_token * (10 * 100 + tuning + speaking)
    assert (found.tuned, found.tried) == (4, 0)
    kept = 34 * 2 * 5 * 100 * TINY.hidden_size * TINY.num_layers
    assert found.memory_bytes == 4 * TINY.total_parameters + kept + 16 * 224
    two = dataclasses.replace(config, learning_rate=(0.1, 0.2))
    tried = estimate_experiment(two, TINY, check_arms(two, TINY), counts)
    assert tried.tried == 4
    assert tried.operations - found.operations == per_token * (2 * 2 * 3 * 5 * 2 * 100 + 4 * 4 * 120)


def test_the_estimate_of_runs_that_save_memory_by_hand(tmp_path):
    """Three layers of 5 x 100 tokens: all kept, or what enters each and all of one."""
    config = ExperimentConfig(
        out=tmp_path, arms=("top-k", "random"), random_draws=1, seeds=1, k=1, r=(2,), max_steps=(3,), batch_size=5,
        tokens=100, device="cpu",
    )  # fmt: skip
    counts = dict.fromkeys(("calibration", "train", "validation", "test"), 1)

    def found(**changes: Any) -> Estimate:
        changed = dataclasses.replace(config, **changes)
        return estimate_experiment(changed, TINY, check_arms(changed, TINY), counts)

    numbers = 5 * 100 * TINY.hidden_size
    weights, trained = 4 * TINY.total_parameters, 16 * 224
    plain, again = found(), found(gradient_checkpointing=True)
    assert plain.memory_bytes == weights + 3 * 34 * 2 * numbers + trained
    assert again.memory_bytes == weights + 34 * 2 * numbers + 3 * 4 * numbers + trained
    assert again.operations - plain.operations == 2 * TINY.total_parameters * (2 * 3 * 5 * 100)
    half = found(bf16=True)
    assert half.memory_bytes == weights + 3 * 34 * numbers + 2 * TINY.total_parameters + trained
    both = found(bf16=True, gradient_checkpointing=True)
    assert both.memory_bytes == weights + 34 * numbers + 3 * 4 * numbers + 2 * TINY.total_parameters / 3 + trained
    assert found(bf16=True, dtype="bfloat16").memory_bytes == found(dtype="bfloat16").memory_bytes


def test_an_exhaustive_study_counts_every_other_set(tmp_path):
    config = DemoConfig(out=tmp_path, arms=("top-k", "random"), exhaustive=True, k=1)
    counts = {"calibration": 1, "train": 1, "validation": 1, "test": 1}
    assert estimate_experiment(config, TINY, check_arms(config, TINY), counts).tuned == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_draws": 3}, "--random-draws is 3; at most 2 different sets of 1 out of 3 layers other than"),
        ({"depth_matched_draws": 3}, "--depth-matched-draws is 3; at most 2 different sets of 1 out of 3 layers with"),
        ({"k": 2, "depth_matched_draws": 1}, "at most 0 different sets of 2 out of 3 .* Ask for 0 or fewer, or choose"),
    ],
)
def test_more_draws_than_there_can_be_are_refused_before_anything_is_scored(tmp_path, changes, message):
    possible: dict[str, Any] = {"k": 1, "random_draws": 2, "depth_matched_draws": 2}
    arms = ("top-k", "random", "depth-matched")
    check_arms(ExperimentConfig(out=tmp_path, arms=arms, **possible), TINY)
    with pytest.raises(OptionError, match=message):
        check_arms(ExperimentConfig(out=tmp_path, arms=arms, **{**possible, **changes}), TINY)
