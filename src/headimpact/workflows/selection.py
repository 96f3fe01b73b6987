"""Select: head scores become a choice of layers."""

from headimpact.core.errors import OptionError
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection
from headimpact.selection.strategies import STRATEGIES, select_layers
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import SelectConfig
from headimpact.workflows.run_folder import claim_run, write_provenance

SELECTION_FILE = "selection.json"


def select_command(config: SelectConfig) -> None:
    """Choose layers and write `selection.json`.

    Raises:
        OptionError: If both k and a budget are given, or the model has too few layers for them.
        HeadImpactError: If the scores are missing or broken.
    """
    STRATEGIES[config.strategy]
    if config.k is not None and config.budget is not None:
        raise OptionError(f"Both --k {config.k} and --budget {config.budget} given; expected one. Drop the other.")
    scores = HeadScores.read(config.scores)
    selection = select_layers(
        scores,
        strategy=config.strategy,
        k=config.k,
        budget=config.budget,
        seed=config.seed,
        draw=config.draw,
        r=config.r,
        target_modules=tuple(config.target_modules),
    )
    if not config.dry_run:
        claim_run(config, done_file=SELECTION_FILE)
        write_provenance(config.out, command="select", seed=config.seed, scores_hash=selection.scores_hash)
        selection.write(config.out / SELECTION_FILE)
    print_answer(describe_selection(selection), selection.to_json(), as_json=config.json)


def describe_selection(selection: Selection) -> list[str]:
    """Say what was chosen, in copyable form."""
    return [
        *(f"note: {note}" for note in selection.notes),
        f"layers: {' '.join(map(str, selection.layers))}",
        f"trainable at r={selection.r}: {selection.count_parameters()}",
        "PEFT targets:",
        *(f"  {name}" for name in selection.target_module_names()),
    ]
