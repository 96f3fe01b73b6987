"""The whole job: scores, a choice, every arm tuned and evaluated, verdict, report. `demo` and `study` are this too.

Every step is a folder of small files, done once: a run that was stopped goes on where it was, and arms can be shared
out over processes and machines that see the same folder.
"""

import dataclasses
import logging
import os
import time

from headimpact.core.errors import OptionError
from headimpact.scoring.head_scores import HeadScores
from headimpact.workflows.answers import print_answer
from headimpact.workflows.arms import choose_for_ranks, describe_fewer_draws
from headimpact.workflows.configs import ModelOptions, ScoreConfig
from headimpact.workflows.dataset import prompt_for
from headimpact.workflows.experiment_bench import Bench, model_options
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_estimates import announce, print_plan
from headimpact.workflows.experiment_options import check_options, read_splits
from headimpact.workflows.experiment_plan import (
    ARMS_FILE,
    BASE,
    ExperimentFolder,
    failures,
    planned_runs,
    read_arms,
    wanted_arms,
    write_arms,
)
from headimpact.workflows.experiment_results import FAILED, REPORT_FILE, compare_step, is_finished, print_finding
from headimpact.workflows.experiment_runs import carry_out_all, leave_launcher, share_arms
from headimpact.workflows.opening import open_model
from headimpact.workflows.run_folder import check_same_options, claim_run, find_run, started_run

_LOG = logging.getLogger(__name__)

WORK = ("scores/*samples/shard_*", ARMS_FILE)
"""Files of a run that are worth keeping when it fails."""
OWN = (".", "selections")
"""Folders that scoring and choosing write into alone; in the others, runs that are tuned elsewhere may be writing."""


def demo_command(config: ExperimentConfig) -> int:
    """Run the whole job at a size that takes minutes on two cores.

    Returns:
        0, or 1 where a run of it failed.

    Raises:
        HeadImpactError: If an input is wrong or a step fails.
    """
    return run_experiment(config)


def study_command(config: ExperimentConfig) -> int:
    """Run the full protocol of `docs/protocol.md`: every k-subset of layers.

    Returns:
        0, or 1 where a run of it failed.

    Raises:
        HeadImpactError: If an input is wrong or a step fails.
    """
    return run_experiment(dataclasses.replace(config, exhaustive=True))


def run_experiment(config: ExperimentConfig) -> int:
    """Run an experiment, go on with one, or do one step of it; print what came out.

    Args:
        config: Options of `experiment`, `demo` and `study`.

    Returns:
        0, or 1 where a run of it failed; the others stand.

    Raises:
        OptionError: If an option cannot be carried out.
        HeadImpactError: If a step fails; what is finished stays.
    """
    if config.dry_run:
        print_plan(config)
        return 0
    check_options(config)
    if config.step == "compare":
        check_same_options(config, config.out)
        compare_step(config)
        return print_finding(config, last_line=f"report: {config.out / REPORT_FILE}")
    if config.step == "tune" or config.arm:
        check_same_options(config, config.out)
        return tune_step(config)
    if find_run(config, done_file=REPORT_FILE) and config.step == "all" and is_finished(config):
        return print_finding(config, last_line=f"finished already: {config.out / REPORT_FILE}")
    started = time.monotonic()
    bench = choose_step(config)
    arms = read_arms(bench.folder)
    if config.step == "arms":
        print_answer([BASE, *arms], {"arms": [BASE, *arms]}, as_json=config.json)
        return 0
    carry_out_all(bench, planned_runs(config, arms), with_base=True)
    compare_step(config)
    minutes = (time.monotonic() - started) / 60
    return print_finding(config, last_line=f"report: {config.out / REPORT_FILE} ({minutes:.1f} minutes)")


def choose_step(config: ExperimentConfig) -> Bench:
    """Score the heads on the calibration split and choose what every arm tunes.

    Raises:
        OptionError: If several processes were started: they share arms, and there are none yet.
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            f"Several processes were started with --step {config.step}; expected one, which scores and chooses. Run "
            "--step arms alone, then --step tune with as many as you like, then --step compare."
        )
    given = None if config.data is None else read_splits(config)
    loaded = open_model(ModelOptions(**model_options(config)))
    announce(config, loaded.family.architecture(loaded.config), given)
    with started_run(config, work=WORK, own=OWN):
        bench = Bench(config, loaded, read_splits(config) if given is None else given)
        if not (config.out / ARMS_FILE).is_file():
            scores = score_step(bench)
            wanted = wanted_arms(config)
            write_arms(bench.folder, choose_for_ranks(scores, wanted, config.r))
            for note in describe_fewer_draws(wanted, read_arms(bench.folder)):
                _LOG.warning("%s", note)
    return bench


def score_step(bench: Bench) -> HeadScores:
    """Score the heads, unless that is done."""
    from headimpact.workflows.scoring import score_folder

    experiment = bench.config
    config = ScoreConfig(
        **bench.shared_options(),
        out=bench.folder.scores,
        scores="gate_gradient" if "gate-gradient" in experiment.arms else None,
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        k=experiment.k,
        baseline=experiment.baseline,
    )
    if claim_run(config, done_file="head_scores.json"):
        return HeadScores.read(config.out)
    dataset = bench.data.split("calibration")
    return score_folder(bench.loaded, dataset, config=config, prompt=prompt_for(config, dataset))


def tune_step(config: ExperimentConfig) -> int:
    """Tune and evaluate this process's share of the arms that were chosen before.

    Returns:
        0, or 1 where one of its runs failed.

    Raises:
        HeadImpactError: If the arms are not chosen yet or an input is wrong.
    """
    folder = ExperimentFolder(config.out)
    arms = read_arms(folder)
    runs = planned_runs(config, arms)
    rank, count = leave_launcher()
    mine = share_arms(config, arms, rank=rank, count=count)
    runs = [run for run in runs if run.arm in mine]
    bench = Bench(config, open_model(ModelOptions(**model_options(config))), read_splits(config))
    carry_out_all(bench, runs, with_base=BASE in mine)
    failed = failures(folder, runs)
    print_answer(
        [f"finished: {len(runs) - len(failed)} of {len(runs)} runs", *(f"failed: {name}" for name in failed)],
        {"runs": [run.name for run in runs], "failed": failed},
        as_json=config.json,
    )
    return FAILED if failed else 0
