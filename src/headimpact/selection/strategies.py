"""Ways to choose layers: by score, by depth, or at random; head scores or an architecture come in."""

import dataclasses
from collections.abc import Callable
from numbers import Integral

import numpy as np

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import OptionError
from headimpact.core.registry import Registry
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.budget import default_layer_count, fill_budget
from headimpact.selection.draws import draw_random, draw_replacements
from headimpact.selection.selection import DEFAULT_TARGETS, Selection

STRATEGIES = Registry(
    "strategy",
    {
        "top-k": "headimpact.selection.strategies:select_top",
        "bottom-k": "headimpact.selection.strategies:select_bottom",
        "random": "headimpact.selection.strategies:select_random",
        "depth-matched": "headimpact.selection.strategies:select_depth_matched",
        "last-n": "headimpact.selection.strategies:select_last",
        "all": "headimpact.selection.strategies:select_all",
    },
)
"""Strategy name to the function that chooses; a strategy is one function and one line here."""

DRAWN = ("random", "depth-matched")
"""Strategies that seed and draw belong to."""

Chosen = tuple[tuple[int, ...], tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class LayerPool:
    """What a strategy chooses from.

    Attributes:
        layers: Layers that may be chosen, ascending.
        num_layers: Layers of the model.
        ranked: `layers` from highest to lowest score, lower layers first among equals; None without scores.
        k: How many to choose.
        seed: Seed of a random choice.
        draw: Which draw of that seed.
    """

    layers: tuple[int, ...]
    num_layers: int
    ranked: tuple[int, ...] | None
    k: int
    seed: int = 0
    draw: int = 0

    @property
    def top(self) -> tuple[int, ...] | None:
        """Give the k layers of highest score, ascending; None without scores."""
        return None if self.ranked is None else tuple(sorted(self.ranked[: self.k]))


def select_layers(
    scores: HeadScores | ArchitectureSummary,
    *,
    strategy: str = "top-k",
    k: int | None = None,
    budget: str | None = None,
    r: int = 8,
    target_modules: tuple[str, ...] = DEFAULT_TARGETS,
    seed: int = 0,
    draw: int = 0,
) -> Selection:
    """Choose the layers to tune.

    Layers are ranked by their score itself, not by its gap to chance. Layers without a score cannot be
    chosen by any strategy.

    Args:
        scores: Scores; or only the architecture, which does for `all`, `last-n` and `random` (which then has no
            top layers to stay away from, and says so).
        strategy: One of `STRATEGIES`.
        k: Number of layers; where neither k nor budget is given, a seventh of those that may be chosen, rounded, at
            least 1.
        budget: Trainable parameters to fill with layers, `0.01%` or `204800`.
        r: LoRA rank that the budget is counted with.
        target_modules: Projections that the budget is counted with.
        seed: Seed of `random` and `depth-matched`.
        draw: Number of the draw, 0-based; draws of one seed are all different.

    Returns:
        The selection with layers ascending.

    Raises:
        UnknownNameError: If strategy or target module is unknown.
        OptionError: If k and budget are both given or one is of the wrong kind, either is given with `all`, k is below
            1 or larger than the layers left, the budget is below one layer at r = 1, a strategy needs scores and has
            none, a draw is given to a strategy without draws, or there are fewer different draws than asked for.
    """
    choose: Callable[[LayerPool], Chosen] = STRATEGIES.load(strategy)
    with_scores = scores if isinstance(scores, HeadScores) else None
    architecture = scores.architecture if isinstance(scores, HeadScores) else scores
    _check_options(strategy, k, budget, draw)
    values = None if with_scores is None else with_scores.layer_values[with_scores.score].astype(np.float64)
    layers = tuple(
        layer_idx for layer_idx in architecture.attention_layers if values is None or not np.isnan(values[layer_idx])
    )
    notes: tuple[str, ...] = ()
    if strategy == "all":
        k = len(layers)
    elif budget is not None:
        filled = fill_budget(budget, architecture, r=r, target_modules=target_modules)
        k, r, notes = filled.k, filled.r, filled.notes
        if k > len(layers):
            k, notes = len(layers), (*notes, f"The budget {budget} holds more than the {len(layers)} layers there are.")
    elif k is None:
        k = default_layer_count(len(layers))
    _check_count(k, layers, architecture.num_layers)
    pool = LayerPool(layers, architecture.num_layers, _ranking(values, layers), k, seed, draw)
    chosen, remarks = choose(pool)
    return Selection(
        strategy=strategy,
        layers=chosen,
        architecture=architecture,
        k=k,
        seed=seed,
        draw=draw,
        score=None if with_scores is None else with_scores.score,
        scores_hash=None if with_scores is None else with_scores.file_hash,
        layer_values=() if values is None else tuple(float(values[layer_idx]) for layer_idx in chosen),
        excluded_layers=tuple(sorted(set(range(architecture.num_layers)) - set(layers))),
        budget=budget,
        r=r,
        target_modules=tuple(target_modules),
        scored_image_hashes=() if with_scores is None else with_scores.image_hashes,
        notes=(*notes, *remarks),
    )


def select_top(pool: LayerPool) -> Chosen:
    """Choose the k layers of highest score."""
    return tuple(sorted(_ranked(pool, "top-k")[: pool.k])), ()


def select_bottom(pool: LayerPool) -> Chosen:
    """Choose the k layers of lowest score."""
    return tuple(sorted(_ranked(pool, "bottom-k")[len(pool.layers) - pool.k :])), ()


def select_random(pool: LayerPool) -> Chosen:
    """Choose k layers at random, any set but the top one."""
    remarks = () if pool.top else ("No scores were given, so the top layers themselves may have been drawn.",)
    return draw_random(pool.layers, pool.k, excluded=pool.top, seed=pool.seed, draw=pool.draw), remarks


def select_depth_matched(pool: LayerPool) -> Chosen:
    """Replace each top layer by one nearby that is not a top layer."""
    top = tuple(sorted(_ranked(pool, "depth-matched")[: pool.k]))
    return draw_replacements(top, pool.layers, num_layers=pool.num_layers, seed=pool.seed, draw=pool.draw)


def select_last(pool: LayerPool) -> Chosen:
    """Choose the k deepest layers."""
    return pool.layers[len(pool.layers) - pool.k :], ()


def select_all(pool: LayerPool) -> Chosen:
    """Choose every layer that has a score."""
    return pool.layers, ()


def _ranking(values: np.ndarray | None, layers: tuple[int, ...]) -> tuple[int, ...] | None:
    """Order layers from highest to lowest score."""
    return None if values is None else tuple(sorted(layers, key=lambda layer_idx: (-values[layer_idx], layer_idx)))


def _ranked(pool: LayerPool, strategy: str) -> tuple[int, ...]:
    """Give the ranking that a strategy cannot do without.

    Raises:
        OptionError: If there are no scores.
    """
    if pool.ranked is None:
        raise OptionError(
            f"Strategy {strategy!r} needs head scores, only an architecture was given. Pass scores, or use random, "
            "last-n or all."
        )
    return pool.ranked


def _check_options(strategy: str, k: int | None, budget: str | None, draw: int) -> None:
    """Refuse options that contradict each other or would be ignored.

    Raises:
        OptionError: If they do.
    """
    for name, value, kind, example in (("k", k, Integral, "4"), ("budget", budget, str, "'204800' or '0.01%'")):
        if value is not None and not isinstance(value, kind):
            raise OptionError(f"{name} is {value!r}, of type {type(value).__name__}; expected the like of {example}.")
    if k is not None and budget is not None:
        raise OptionError(f"Both k = {k} and budget = {budget} were given. Pass one of them.")
    if strategy == "all" and (k is not None or budget is not None):
        raise OptionError("Strategy 'all' takes every layer: neither k nor a budget goes with it. Leave them out.")
    if draw < 0:
        raise OptionError(f"Draw {draw} is out of range: expected 0 or more.")
    if draw and strategy not in DRAWN:
        raise OptionError(
            f"Draw {draw} was given, but strategy {strategy!r} has only one outcome. Leave it out, or use "
            f"{' or '.join(DRAWN)}."
        )


def _check_count(k: int, layers: tuple[int, ...], num_layers: int) -> None:
    """Refuse numbers of layers that cannot be met.

    Raises:
        OptionError: If k is below 1 or more than the layers left.
    """
    if k < 1:
        raise OptionError(f"Number of layers out of range: k = {k}; expected at least 1.")
    if k > len(layers):
        without = num_layers - len(layers)
        named = " ".join(map(str, layers))
        detail = f", {without} of {num_layers} have no score, which leaves layers {named}" if without else ""
        raise OptionError(
            f"Cannot choose {k} layers: {len(layers)} are left{detail}. Pass --k {len(layers)} or less."
            if layers
            else f"Cannot choose {k} layers: none has a score. Score on pictures the model's heads can see."
        )
