"""The arms of an experiment: the choice, its opposite, the habit of taking the last layers, random choices."""

import dataclasses
from collections.abc import Sequence
from itertools import combinations

from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection
from headimpact.selection.strategies import select_layers

SINGLE = ("top-k", "bottom-k", "last-n")
"""Arms of which there is one; every arm has as many layers."""


def choose_arms(
    scores: HeadScores,
    *,
    k: int | None,
    seed: int,
    r: int,
    target_modules: Sequence[str],
    random_draws: int | None,
    depth_matched_draws: int,
) -> list[tuple[str, Selection]]:
    """Choose the layers of every arm.

    Args:
        scores: What the layers are chosen by.
        k: Layers per arm; the default number if left out.
        seed: Seed of the random choices.
        r: LoRA rank.
        target_modules: Projections that LoRA adapts.
        random_draws: Number of random choices; None takes every set of k layers other than the top one.
        depth_matched_draws: Number of depth-matched random choices.

    Returns:
        Name and selection of each arm, in the order in which they are tuned.

    Raises:
        OptionError: If k does not fit the model, or there are fewer choices than draws.
    """

    def choose(strategy: str, draw: int = 0) -> Selection:
        return select_layers(
            scores, strategy=strategy, k=k, seed=seed, draw=draw, r=r, target_modules=tuple(target_modules)
        )

    arms = [(strategy, choose(strategy)) for strategy in SINGLE]
    top = arms[0][1]
    if random_draws is None:
        arms += every_other_choice(top)
    else:
        arms += [(f"random-{draw}", choose("random", draw)) for draw in range(random_draws)]
    arms += [(f"depth-matched-{draw}", choose("depth-matched", draw)) for draw in range(depth_matched_draws)]
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


def arm_names(random_draws: int | None, depth_matched_draws: int) -> list[str]:
    """Name the arms of a plan before any score is known."""
    random = ["random: every other set of k layers"]
    if random_draws is not None:
        random = [f"random-{draw}" for draw in range(random_draws)]
    return ["base", *SINGLE, *random, *(f"depth-matched-{draw}" for draw in range(depth_matched_draws))]
