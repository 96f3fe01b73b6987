"""The arms of an experiment: the choice, its opposite, habits, other ways to choose, and random choices."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from itertools import combinations

from headimpact.comparison.runs import BUDGET_TOLERANCE
from headimpact.core.errors import NoSuchDrawError, OptionError
from headimpact.scoring.combination import find_score
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.heads import select_heads
from headimpact.selection.selection import Selection
from headimpact.selection.strategies import select_layers

TOP, RANDOM, DEPTH_MATCHED = "top-k", "random", "depth-matched"
DRAWN = (RANDOM, DEPTH_MATCHED, "random-heads")
"""Arms of which there are several draws."""
ARMS = (TOP, "bottom-k", "last-n", RANDOM, DEPTH_MATCHED, "all", "top-heads", "random-heads", "gate-gradient")
"""Arms that an experiment can have, in the order in which they are tuned."""
ENTIRE = "all"
"""The arm that costs more than the others: LoRA on every layer, as one would without a choice."""


@dataclasses.dataclass(frozen=True)
class ArmRequest:
    """What arms are wanted.

    Attributes:
        names: Some of `ARMS`, the top one among them.
        draws: How often each of `DRAWN` is drawn; None for `random` takes every set of k layers but the top one.
        k: Layers per arm; None for the default number, or where a budget says it.
        budget: Trainable parameters per arm, or None.
        seed: Seed of the random choices.
        target_modules: Projections that LoRA adapts.
    """

    names: Sequence[str]
    draws: dict[str, int | None]
    k: int | None
    budget: str | None
    seed: int
    target_modules: tuple[str, ...]

    def labels(self) -> list[str]:
        """Name the arms, draw by draw, before any score is known."""
        return [label for name in ARMS if name in self.names for label in self._labels_of(name)]

    def _labels_of(self, name: str) -> list[str]:
        """Name one arm, or its draws."""
        if name not in DRAWN:
            return [name]
        count = self.draws[name]
        return ["random: every other set of k layers"] if count is None else [f"{name}-{draw}" for draw in range(count)]


def check_draws(wanted: ArmRequest, sized: Selection) -> None:
    """Refuse more draws of layers than there can be, whatever the scores will be.

    Args:
        wanted: The arms.
        sized: Has as many layers as an arm will.

    Raises:
        OptionError: If there cannot be as many; the message names the most.
    """
    layers, k = len(sized.architecture.attention_layers), len(sized.layers)
    kinds = {
        RANDOM: (math.comb(layers, k) - 1, "other than the chosen one"),
        DEPTH_MATCHED: (math.comb(layers - k, k), "with none of the chosen ones"),
    }
    for name, (most, kind) in kinds.items():
        asked = wanted.draws[name] if name in wanted.names else None
        if asked is not None and asked > most:
            raise OptionError(
                f"--{name}-draws is {asked}; at most {most} different sets of {k} out of {layers} layers {kind} exist. "
                f"Ask for {most} or fewer, or choose another number of layers with --k or --budget."
            )


def choose_for_ranks(
    scores: HeadScores, wanted: ArmRequest, ranks: Sequence[int]
) -> dict[int, list[tuple[str, Selection]]]:
    """Choose what every arm tunes at every rank; a draw that some rank lacks is left out at all of them.

    Args:
        scores: What layers and heads are chosen by.
        wanted: The arms.
        ranks: LoRA ranks.

    Returns:
        For each rank, name and selection of each arm or draw.

    Raises:
        HeadImpactError: As `choose_arms` says.
    """
    chosen = {r: choose_arms(scores, wanted, r=r) for r in ranks}
    lacking = {label for label in wanted.labels() if any(label not in dict(arms) for arms in chosen.values())}
    return {r: [(label, one) for label, one in arms if label not in lacking] for r, arms in chosen.items()}


def describe_fewer_draws(wanted: ArmRequest, labels: Sequence[str]) -> list[str]:
    """Say of which arms fewer different draws exist than were asked for, in sentences.

    Args:
        wanted: The arms.
        labels: Names of the arms and draws that were chosen.
    """
    notes = []
    for name in (name for name in DRAWN if name in wanted.names):
        asked, found = wanted.draws[name], sum(label.rpartition("-")[0] == name for label in labels)
        if asked is not None and found < asked:
            notes.append(f"Different draws of {name}: only {found} exist, {asked} were asked for.")
    return notes


def choose_arms(scores: HeadScores, wanted: ArmRequest, *, r: int) -> list[tuple[str, Selection]]:
    """Choose what every arm tunes at one rank.

    Arms of single heads fill as many live parameters as the top layers take. A selection's strategy is the arm's name.
    Where fewer different draws of an arm exist than are asked for, all of them are taken.

    Args:
        scores: What layers and heads are chosen by.
        wanted: The arms.
        r: LoRA rank.

    Returns:
        Name and selection of each arm or draw, in the order in which they are tuned.

    Raises:
        NoSuchDrawError: If there is no random choice but the top one: no chance level, so no verdict.
        OptionError: If k or the budget does not fit the model, or an arm would not have as many live parameters as the
            others.
        UnknownNameError: If the model has no such projection, or the run no gate gradients.
    """

    def layers(strategy: str, draw: int = 0, by: HeadScores = scores) -> Selection:
        return select_layers(
            by,
            strategy=strategy,
            k=None if strategy == ENTIRE else wanted.k,
            budget=None if strategy == ENTIRE else wanted.budget,
            seed=wanted.seed,
            draw=draw,
            r=r,
            target_modules=wanted.target_modules,
        )

    top = layers(TOP)

    def heads(strategy: str, draw: int = 0) -> Selection:
        return select_heads(
            scores,
            strategy=strategy,
            budget=str(top.trainable_parameters()),
            seed=wanted.seed,
            draw=draw,
            r=top.r,
            target_modules=wanted.target_modules,
        )

    special: dict[str, Callable[[int], Selection]] = {
        "top-heads": lambda _: heads("top-k"),
        "random-heads": lambda draw: heads("random", draw),
        "gate-gradient": lambda _: layers(TOP, by=find_score(scores, "gate_gradient")),
    }
    arms: list[tuple[str, Selection]] = []
    for name in (name for name in ARMS if name in wanted.names):
        count = wanted.draws[name] if name in DRAWN else 1
        if count is None:
            arms += every_other_choice(top)
            continue
        choose = special.get(name, functools.partial(layers, name))
        for draw in range(count):
            try:
                chosen = choose(draw)
            except NoSuchDrawError:
                if name == RANDOM and not draw:
                    raise
                break
            label = f"{name}-{draw}" if name in DRAWN else name
            arms.append((label, dataclasses.replace(chosen, strategy=name)))
    _check_equal_cost(arms)
    return arms


def every_other_choice(top: Selection) -> list[tuple[str, Selection]]:
    """List every set of as many layers as the top choice's, without it.

    They count as random draws: all that a random choice could have been.
    """
    layers = [layer for layer in range(top.architecture.num_layers) if layer not in top.excluded_layers]
    others = [chosen for chosen in combinations(layers, len(top.layers)) if chosen != top.layers]
    return [
        (
            f"random-{'-'.join(map(str, chosen))}",
            dataclasses.replace(top, strategy="random", layers=chosen, draw=draw, layer_values=(), notes=()),
        )
        for draw, chosen in enumerate(others)
    ]


def _check_equal_cost(arms: Sequence[tuple[str, Selection]]) -> None:
    """Refuse arms that could not be compared in the end.

    Raises:
        OptionError: If the live parameters of two of them differ by more than the tolerance.
    """
    live = {label: one.trainable_parameters() for label, one in arms if one.strategy != ENTIRE}
    low, high = min(live, key=lambda label: live[label]), max(live, key=lambda label: live[label])
    if live[high] > (1 + BUDGET_TOLERANCE) * live[low]:
        raise OptionError(
            f"Arms would not cost the same: {low} has {live[low]:,} live parameters, {high} {live[high]:,}; expected "
            f"within {BUDGET_TOLERANCE:.0%}. Leave one of them out of --arms, or change --k, --r or --target-modules."
        )
