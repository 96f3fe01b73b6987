"""Advise: from a model and pictures to the layers to tune, a verdict against chance, a trainer's config and a report.

What `score`, `select`, `export` and `report` do, one after another, into one folder:

    scores/   selection.json   the trainer's config   report.html   advice.json (last, so that it says: finished)
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from headimpact.core.artifacts import atomic_file, read_json, write_json
from headimpact.core.lora_arithmetic import check_lora_targets
from headimpact.report.builder import build_report
from headimpact.report.ranking import LEVEL
from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.stability import STABILITY_FILE, Stability
from headimpact.selection.exports import EXPORTS, export_selection, file_name
from headimpact.selection.selection import SELECTION_FILE, Selection
from headimpact.selection.strategies import select_layers
from headimpact.workflows.advice_configs import AdviseConfig
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.opening import read_architecture
from headimpact.workflows.processes import Processes
from headimpact.workflows.run_folder import find_run, started_run, write_provenance
from headimpact.workflows.score_answer import LAYER_HEADER, layer_line, pictures_line
from headimpact.workflows.scoring import WORK, plan_scoring, run_scoring
from headimpact.workflows.stopping import check_choice, describe_stability

ADVICE_FILE, ADVICE_SCHEMA = "advice.json", "advice/1"
SCORES_FOLDER, REPORT_FILE = "scores", "report.html"


def advise_command(config: AdviseConfig) -> None:
    """Score, choose the layers of highest score, and hand them over; `accelerate launch` shares the scoring.

    Raises:
        UnknownNameError: If there is no such trainer, or the model has no such projection.
        OptionError: If rank or number of layers do not fit the model.
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    EXPORTS[config.to]
    scoring, processes = _scoring_part(config), Processes(cpu=config.device == "cpu")
    is_finished = processes.is_main and find_run(config, done_file=ADVICE_FILE)
    architecture = read_architecture(config)
    check_choice(config.k, layers=len(architecture.attention_layers))
    check_lora_targets(
        architecture, architecture.attention_layers, r=config.r, target_modules=tuple(config.target_modules)
    )
    if config.dry_run:
        plan_scoring(scoring, processes)
        return
    is_finished = processes.hear(is_finished)
    if not processes.is_main:
        if not is_finished:
            run_scoring(scoring, processes)
        return
    if not is_finished:
        with started_run(config, work=tuple(f"{SCORES_FOLDER}/{pattern}" for pattern in WORK)):
            run_scoring(scoring, processes)
            _hand_over(config)
    _print_advice(config, note=f"finished already: {config.out}" if is_finished else None)


def chance_verdict(q: Sequence[float], layers: Sequence[int]) -> str:
    """Say whether the chosen layers look at the key objects more than chance would have it.

    Args:
        q: False discovery rate at which each layer of the model counts as above chance; NaN where that is not known.
        layers: The chosen layers.
    """
    known = {layer: q[layer] for layer in layers if not np.isnan(q[layer])}
    above = [layer for layer, value in known.items() if value <= LEVEL]
    rest = [layer for layer in layers if layer not in above]
    if not known:
        return "Chance not known: there is nothing that these layers could be held against."
    if not above:
        return (
            "Not above chance: no chosen layer is shown to follow the key object more than the masks of other pictures "
            "would have it; the score gives no ground for tuning just these."
        )
    if rest:
        return (
            f"In part above chance: layers {' '.join(map(str, above))} follow the key object more than the masks of "
            f"other pictures would have it (q <= {LEVEL}); for {' '.join(map(str, rest))} that is not shown."
        )
    return (
        "Above chance: every chosen layer follows the key object more than the masks of other pictures would have it "
        f"(q <= {LEVEL})."
    )


def _scoring_part(config: AdviseConfig) -> ScoreConfig:
    """Give the options of the scores in it, which go on by themselves where they stopped."""
    options = {field.name: getattr(config, field.name) for field in dataclasses.fields(ScoreConfig)}
    return ScoreConfig(
        **{**options, "out": config.out / SCORES_FOLDER, "resume": True, "overwrite": False, "config": None}
    )


def _hand_over(config: AdviseConfig) -> None:
    """Choose by the scores in the folder, and write everything else into it."""
    scores = HeadScores.read(config.out / SCORES_FOLDER)
    selection = select_layers(
        scores, strategy="top-k", k=config.k, r=config.r, target_modules=tuple(config.target_modules)
    )
    text = export_selection(selection, to=config.to)
    write_provenance(config.out, command="advise", seed=config.seed, scores_hash=selection.scores_hash)
    selection.write(config.out / SELECTION_FILE)
    with atomic_file(config.out / file_name(config.to)) as temporary:
        temporary.write_text(text, encoding="utf-8")
    build_report([config.out], config.out / REPORT_FILE, overwrite=True)
    count, values = selection.count_parameters(), scores.layer_values
    q = np.where(np.isnan(values["gap"]), np.nan, values["q"]).tolist()
    content: dict[str, Any] = {
        "layers": list(selection.layers),
        "verdict": chance_verdict(q, selection.layers),
        "above_chance": [layer for layer in selection.layers if q[layer] <= LEVEL],
        "trainable_parameters": count.trainable,
        "trainable_share": count.share,
        "modules": list(selection.target_module_names()),
        "to": config.to,
        "exported": file_name(config.to),
        "report": REPORT_FILE,
    }
    write_json(config.out / ADVICE_FILE, content, schema=ADVICE_SCHEMA)


def _print_advice(config: AdviseConfig, *, note: str | None) -> None:
    """Say what was found, from the files."""
    content = read_json(config.out / ADVICE_FILE, schema=ADVICE_SCHEMA)
    scores, selection = HeadScores.read(config.out / SCORES_FOLDER), Selection.read(config.out / SELECTION_FILE)
    has_looks = (config.out / SCORES_FOLDER / STABILITY_FILE).is_file()
    lines = [
        *([note] if note else []),
        pictures_line(scores),
        f"tune layers {' '.join(map(str, selection.layers))}: {selection.count_parameters()} at r={selection.r}",
        content["verdict"],
        LAYER_HEADER,
        *(layer_line(scores, layer) for layer in selection.layers),
        *(describe_stability(Stability.read(config.out / SCORES_FOLDER)) if has_looks else []),
        *(f"warning: {warning}" for warning in scores.warnings),
        *(f"note: {one}" for one in selection.notes),
        "Whether tuning them does more than tuning other layers is another question: headimpact experiment asks it.",
        f"config for {content['to']}: {config.out / content['exported']}",
        f"report: {config.out / content['report']}",
    ]
    print_answer(lines, {**content, "out": str(config.out)}, as_json=config.json)
