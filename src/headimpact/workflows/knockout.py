"""Knockout: chosen heads cannot look at the picture; does the model miss them, more than it would miss others?

In: a model, a data folder, the head scores that choose. Out: shards of per-picture losses (`samples/`), and what is a
pure function of them: `knockout.json`, with verdicts and how far scores agree, and `knockout.safetensors`.
"""

import math
from typing import TYPE_CHECKING

from headimpact.comparison.knockout_table import KNOCKOUT_FILE, KnockoutTable
from headimpact.comparison.knockouts import compare_knockouts
from headimpact.core.errors import OptionError
from headimpact.core.provenance import hash_texts
from headimpact.core.registry import unknown_name_message
from headimpact.data.dataset import KeyObjectDataset
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.knockout_sets import choose_knockout_sets
from headimpact.workflows.answers import print_answer
from headimpact.workflows.dataset import prompt_for, read_split, write_split
from headimpact.workflows.knockout_answer import describe_knockouts, table_for_programs
from headimpact.workflows.knockout_configs import KnockoutConfig
from headimpact.workflows.knockout_shards import KnockoutWork, describe_cost, fill_knockout_shards
from headimpact.workflows.opening import check_model, find_adapter, open_model
from headimpact.workflows.run_folder import find_run, started_run, write_provenance

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel

WORK = ("samples/shard_*", "means/shard_*")
"""Files of a run that are worth keeping when it fails."""

KNOCKOUTS = ("renormalize", "zero", "uniform", "mean")
ROWS = ("all", "response")
RESPONSES = ("reference", "own")


def knockout_command(config: KnockoutConfig) -> None:
    """Silence heads on pictures that did not choose them, and write what it did.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    check_knockout_options(config)
    adapter = None if config.adapter is None else find_adapter(config.adapter)
    if find_run(config, done_file=KNOCKOUT_FILE) and not config.dry_run:
        _print_table(KnockoutTable.read(config.out), config, note=f"finished already: {config.out}")
        return
    scores = HeadScores.read(config.scores)
    scores = scores if config.score is None else scores.named(config.score)
    sets = choose_knockout_sets(
        scores, k=config.k, head_k=config.head_k, draws=config.draws, each=config.each, seed=config.seed
    )
    dataset = read_split(config, split=config.split, seed=config.seed)
    split = config.split or str(dataset[0].split)
    work = KnockoutWork(dataset, sets, prompt_for(config, dataset), config)
    notes = _notes(dataset, scores, config)
    if config.dry_run:
        check_model(config)
        _print_plan(work, notes, split=split)
        return
    loaded = open_model(config, adapter=adapter)
    _check_same_model(loaded, scores)
    if not config.json:
        print_answer([f"pictures: {len(dataset)} of split {split!r}", describe_cost(work)], {}, as_json=False)
    with started_run(config, work=WORK):
        table = knock_out_folder(loaded, work, scores, notes=notes, split=split)
    _print_table(table, config)


def knock_out_folder(
    loaded: "LoadedModel", work: KnockoutWork, scores: HeadScores, *, notes: tuple[str, ...], split: str
) -> KnockoutTable:
    """Measure knockouts of a loaded model into a run's folder; shards that are there already are not made again.

    Args:
        loaded: The model that was scored, by its sizes.
        work: What is to be measured.
        scores: The scores that chose.
        notes: What a reader must know beforehand.
        split: Name of the split that judges.

    Returns:
        The table; it is in the folder too.

    Raises:
        HeadImpactError: If the model cannot run under knockouts.
    """
    config = work.config
    samples = fill_knockout_shards(loaded, work)
    options = {
        **{name: getattr(config, name) for name in ("knockout", "rows", "response", "each", "draws", "k", "head_k")},
        "k": work.sets.k,
        "head_k": work.sets.head_k,
        "split": split,
        "model": loaded.name,
        "prompt": work.prompt,
        "scores_hash": scores.file_hash,
    }
    table = compare_knockouts(
        samples,
        work.sets,
        scores,
        margin=config.margin,
        resamples=config.bootstrap,
        seed=config.seed,
        notes=notes,
        options=options,
    )
    write_split(config.out, work.dataset, split=split)
    write_provenance(
        config.out,
        command="knockout",
        data_fingerprint=work.dataset.fingerprint,
        seed=config.seed,
        scores_hash=scores.file_hash,
        **loaded.describe(),
    )
    table.write(config.out)
    return KnockoutTable.read(config.out)


def check_knockout_options(config: KnockoutConfig) -> None:
    """Refuse unknown names and numbers out of range before anything is read.

    Raises:
        OptionError: If an option cannot be carried out.
    """
    for kind, value, known in (
        ("--knockout", config.knockout, KNOCKOUTS),
        ("--rows", config.rows, ROWS),
        ("--response", config.response, RESPONSES),
    ):
        if value not in known:
            raise OptionError(unknown_name_message(kind, value, known))
    for name in ("batch_size", "shard_size", "max_new_tokens", "draws"):
        if getattr(config, name) < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(config, name)}; expected 1 or more.")
    if config.bootstrap < 100:
        raise OptionError(f"--bootstrap is {config.bootstrap}; expected at least 100.")
    if not (config.margin > 0 and math.isfinite(config.margin)):
        raise OptionError(f"--margin is {config.margin}; expected a share above 0, such as 0.05.")
    if config.generate and config.rows != "all":
        raise OptionError(
            "--rows response does not go with --generate: an answer that is being written has no rows yet. Leave one "
            "out."
        )


def _notes(dataset: KeyObjectDataset, scores: HeadScores, config: KnockoutConfig) -> tuple[str, ...]:
    """Say what limits the run: pictures that chose, another model or adapter than was scored."""
    notes = []
    chose = set(scores.image_hashes)
    both = sum(hash_texts([image_id]) in chose for image_id in dataset.image_ids)
    if both:
        notes.append(
            f"{both} of the {len(dataset)} pictures also chose the heads: what the chosen ones do is flattered. Judge "
            "on another --split."
        )
    scored = scores.provenance.get("model", config.model)
    if scored != config.model:
        notes.append(f"The heads were chosen by scores of {scored}, not of {config.model}.")
    if (config.adapter is None) != (scores.provenance.get("adapter") is None):
        notes.append("The heads were chosen with another adapter, or without one.")
    return tuple(notes)


def _check_same_model(loaded: "LoadedModel", scores: HeadScores) -> None:
    """Refuse scores of a model with other heads.

    Raises:
        OptionError: If layers, heads or family differ.
    """
    found, wanted = loaded.architecture, scores.architecture
    sizes = [(one.model_type, one.num_layers, one.num_heads) for one in (found, wanted)]
    if sizes[0] != sizes[1]:
        raise OptionError(
            f"Scores are of another model: {loaded.name} is {sizes[0][0]!r} with {sizes[0][1]} layers of {sizes[0][2]} "
            f"heads, the scores are of {sizes[1][0]!r} with {sizes[1][1]} of {sizes[1][2]}. Pass scores of this model."
        )


def _print_plan(work: KnockoutWork, notes: tuple[str, ...], *, split: str) -> None:
    """Say what would be done."""
    arms = [f"{arm.strategy} {arm.unit}: {len(arm.columns)}" for arm in work.sets.arms]
    print_answer(
        [
            "dry run, nothing was written",
            f"pictures: {len(work.dataset)} of split {split!r}",
            f"prompt: {work.prompt}",
            f"sets: {', '.join(arms)}; each {work.sets.each}: {len(work.sets.each_columns)}",
            describe_cost(work),
            *(f"note: {note}" for note in (*notes, *work.sets.notes)),
        ],
        {
            "pictures": len(work.dataset),
            "split": split,
            "prompt": work.prompt,
            "sets": len(work.sets.sets),
            "passes": work.cost(),
            "notes": [*notes, *work.sets.notes],
        },
        as_json=work.config.json,
    )


def _print_table(table: KnockoutTable, config: KnockoutConfig, *, note: str | None = None) -> None:
    """Say what a run found."""
    print_answer(
        [*([note] if note else []), *describe_knockouts(table), f"table: {config.out}"],
        {**table_for_programs(table), "out": str(config.out)},
        as_json=config.json,
    )
