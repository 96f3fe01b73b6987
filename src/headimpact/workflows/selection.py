"""Select: head scores become a choice of layers or heads."""

from headimpact.core.errors import OptionError
from headimpact.scoring.combination import find_score
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.heads import select_heads
from headimpact.selection.selection import SELECTION_FILE, Selection
from headimpact.selection.strategies import STRATEGIES, select_layers
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import SelectConfig
from headimpact.workflows.run_folder import find_run, started_run, write_provenance


def select_command(config: SelectConfig) -> None:
    """Choose layers or heads and write `selection.json`.

    Raises:
        OptionError: If both k and a budget are given for layers, or the model has too few layers or heads for them.
        HeadImpactError: If the scores are missing or broken.
    """
    STRATEGIES[config.strategy]
    if config.k is not None and config.budget is not None and not config.heads:
        raise OptionError(f"Both --k {config.k} and --budget {config.budget} given; expected one. Drop the other.")
    if find_run(config, done_file=SELECTION_FILE) and not config.dry_run:
        _print_selection(Selection.read(config.out / SELECTION_FILE), config, note=f"finished already: {config.out}")
        return
    scores = HeadScores.read(config.scores)
    select = select_heads if config.heads else select_layers
    selection = select(
        scores if config.score is None else find_score(scores, config.score),
        strategy=config.strategy,
        k=config.k,
        budget=config.budget,
        seed=config.seed,
        draw=config.draw,
        r=config.r,
        target_modules=tuple(config.target_modules),
    )
    if not config.dry_run:
        with started_run(config, work=(SELECTION_FILE,)):
            write_provenance(config.out, command="select", seed=config.seed, scores_hash=selection.scores_hash)
            selection.write(config.out / SELECTION_FILE)
    _print_selection(selection, config, note="dry run, nothing was written" if config.dry_run else None)


def _print_selection(selection: Selection, config: SelectConfig, *, note: str | None) -> None:
    """Say what was chosen."""
    print_answer(
        [*([note] if note else []), f"selection: {config.out}", *describe_selection(selection)],
        selection.to_json(),
        as_json=config.json,
    )


def describe_choice(selection: Selection) -> str:
    """Name the chosen layers, or heads as layer.head."""
    if selection.heads is None:
        return f"layers: {' '.join(map(str, selection.layers))}"
    return f"heads (layer.head): {' '.join(f'{layer_idx}.{head_idx}' for layer_idx, head_idx in selection.heads)}"


def describe_selection(selection: Selection) -> list[str]:
    """Say what was chosen, in copyable form."""
    return [
        *(f"note: {note}" for note in selection.notes),
        describe_choice(selection),
        f"trainable at r={selection.r}: {selection.count_parameters()}",
        "PEFT targets:",
        *(f"  {name}" for name in selection.target_module_names()),
    ]
