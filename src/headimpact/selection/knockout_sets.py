"""Which heads are silenced together to ask whether the chosen ones matter: chosen, opposite, random, and each alone.

In: head scores. Out: `KnockoutSets`, every set once, with the arms that it stands for. Layers are those of
`select_layers`, so that draw 3 of random layers here is the draw 3 that may be tuned.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from headimpact.core.errors import OptionError
from headimpact.core.head_parts import Head
from headimpact.core.registry import unknown_name_message
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.budget import default_layer_count
from headimpact.selection.draws import depth_matched_sets, nearest_window
from headimpact.selection.strategies import DRAWN, select_layers

HeadSet = tuple[Head, ...]
"""Heads that are silenced together, ascending."""

EACH = ("head", "layer", "none")
UNITS = ("layers", "heads")
ARMS = ("top-k", "bottom-k", *DRAWN)
HEADS_STREAM = 3
MOST_TRIES = 200


@dataclasses.dataclass(frozen=True)
class KnockoutArm:
    """One way of choosing, with the sets it chose.

    Attributes:
        unit: What was chosen: `layers` or `heads`.
        strategy: How, one of `ARMS`.
        columns: The sets among all sets, one per draw.
    """

    unit: str
    strategy: str
    columns: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class KnockoutSets:
    """Every set that is silenced, each once.

    Attributes:
        sets: The sets; the first holds every head that sees the picture.
        arms: What they stand for in a comparison.
        each: What each set of `each_columns` is: a `head` or a `layer` alone, or `none`.
        each_columns: Set of each head that has a score, or of each layer, in order; empty for `none`.
        k: Layers per choice.
        head_k: Heads per choice.
        layer_choices: How many different sets of layers each random way of choosing has; those too many to count are
            left out.
        notes: What was done otherwise than asked, in sentences.
    """

    sets: tuple[HeadSet, ...]
    arms: tuple[KnockoutArm, ...]
    each: str
    each_columns: tuple[int, ...]
    k: int
    head_k: int
    layer_choices: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def arm(self, unit: str, strategy: str) -> KnockoutArm | None:
        """Give an arm, None where there is none."""
        return next((arm for arm in self.arms if (arm.unit, arm.strategy) == (unit, strategy)), None)

    def arm_columns(self) -> tuple[int, ...]:
        """List the sets of all arms and the first set, each once, ascending."""
        return tuple(sorted({0, *(column for arm in self.arms for column in arm.columns)}))


def choose_knockout_sets(
    scores: HeadScores, *, k: int | None, head_k: int | None, draws: int, each: str, seed: int
) -> KnockoutSets:
    """Choose the heads and layers to silence.

    Top and bottom go by the score itself. A random set is any set of as many but the top one; in a depth-matched one
    every chosen head or layer is replaced by one that was not chosen, within max(1, round(L / 8)) layers. Where fewer
    different sets exist than draws are asked for, all of them are taken.

    Args:
        scores: Scores that choose; layers and heads without one are never silenced alone.
        k: Layers per choice; the default number of `select_layers` if left out.
        head_k: Heads per choice; as many as k layers hold if left out.
        draws: Random and depth-matched sets of each kind, at most.
        each: Silence every `head` or every `layer` alone as well, or `none`.
        seed: Seed of the draws.

    Returns:
        The sets.

    Raises:
        OptionError: If a number is out of range, `each` is unknown, or no layer has a score.
    """
    if each not in EACH:
        raise OptionError(unknown_name_message("--each", each, EACH))
    if draws < 1:
        raise OptionError(f"--draws is {draws}; expected 1 or more.")
    layers, heads = _scored_layers(scores), _ranked_heads(scores)
    if not layers:
        raise OptionError("No layer has a score, so none can be chosen. Score on pictures the model's heads can see.")
    k = default_layer_count(len(layers)) if k is None else k
    head_k = min(k * scores.architecture.num_heads, len(heads) // 2) if head_k is None else head_k
    _check_count("--k", k, len(layers), unit="layers")
    _check_count("--head-k", head_k, len(heads), unit="heads")
    book = _Book(tuple(sorted(heads)))
    notes: list[str] = []
    choices = _layer_choices(scores, layers, k=k)
    arms = [
        *_layer_arms(scores, book, notes, k=k, draws=draws, seed=seed, choices=choices),
        *_head_arms(scores, heads, book, notes, k=head_k, draws=draws, seed=seed),
    ]
    alone: list[HeadSet] = []
    if each == "head":
        alone = [(head,) for head in sorted(heads)]
    elif each == "layer":
        alone = [_heads_of(scores, (layer_idx,)) for layer_idx in layers]
    columns = tuple(book.column(one) for one in alone)
    return KnockoutSets(tuple(book.sets), tuple(arms), each, columns, k, head_k, choices, tuple(notes))


class _Book:
    """Sets in the order in which they first came, each once."""

    def __init__(self, everything: HeadSet) -> None:
        """Begin with every head."""
        self.sets = [everything]
        self._columns = {everything: 0}

    def column(self, heads: HeadSet) -> int:
        """Find a set, or put it at the end."""
        if heads not in self._columns:
            self._columns[heads] = len(self.sets)
            self.sets.append(heads)
        return self._columns[heads]


def _chosen_layers(scores: HeadScores, strategy: str, *, k: int, seed: int = 0, draw: int = 0) -> tuple[int, ...]:
    """Choose layers as `select` does."""
    projections = tuple(scores.architecture.projections)[:1]  # nothing is tuned, any will do
    return select_layers(scores, strategy=strategy, k=k, seed=seed, draw=draw, target_modules=projections).layers


def _layer_choices(scores: HeadScores, layers: Sequence[int], *, k: int) -> dict[str, int]:
    """Count the different sets that random ways of choosing layers have."""
    top = _chosen_layers(scores, "top-k", k=k)
    *_, near = depth_matched_sets(top, layers, num_layers=scores.architecture.num_layers)
    return {"random": math.comb(len(layers), k) - 1, **({} if near is None else {"depth-matched": len(near)})}


def _layer_arms(
    scores: HeadScores,
    book: _Book,
    notes: list[str],
    *,
    k: int,
    draws: int,
    seed: int,
    choices: Mapping[str, int],
) -> list[KnockoutArm]:
    """Choose layers in every way."""
    found = []
    for strategy in ARMS:
        count = min(draws, choices.get(strategy, draws)) if strategy in DRAWN else 1
        chosen = [_chosen_layers(scores, strategy, k=k, seed=seed, draw=draw) for draw in range(count)]
        sets = [_heads_of(scores, layers) for layers in chosen]
        found.append(_arm("layers", strategy, sets, book))
        _note_fewer(notes, f"{strategy} sets of {k} layers", count, draws if strategy in DRAWN else 1)
    return [arm for arm in found if arm.columns]


def _head_arms(
    scores: HeadScores, ranked: Sequence[Head], book: _Book, notes: list[str], *, k: int, draws: int, seed: int
) -> list[KnockoutArm]:
    """Choose heads in every way."""
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, HEADS_STREAM]))
    top, pool = tuple(sorted(ranked[:k])), sorted(ranked)
    near = nearest_window(scores.architecture.num_layers)

    def random() -> HeadSet:
        return tuple(sorted(pool[index] for index in generator.choice(len(pool), size=k, replace=False)))

    def depth_matched() -> HeadSet | None:
        return _replace(top, pool, window=near, generator=generator)

    sets = {
        "top-k": [top],
        "bottom-k": [tuple(sorted(ranked[-k:]))],
        "random": _different(random, draws, excluded=top),
        "depth-matched": _different(depth_matched, draws, excluded=top),
    }
    for strategy in DRAWN:
        _note_fewer(notes, f"{strategy} sets of {k} heads", len(sets[strategy]), draws)
    return [_arm("heads", strategy, sets[strategy], book) for strategy in ARMS if sets[strategy]]


def _replace(selected: HeadSet, pool: Sequence[Head], *, window: int, generator: np.random.Generator) -> HeadSet | None:
    """Replace heads one after the other, in random order, by others nearby; None where one finds no substitute."""
    free = set(pool) - set(selected)
    taken: list[Head] = []
    for index in generator.permutation(len(selected)):
        layer_idx = selected[index][0]
        near = sorted(head for head in free if abs(head[0] - layer_idx) <= window)
        if not near:
            return None
        taken.append(near[int(generator.integers(len(near)))])
        free.remove(taken[-1])
    return tuple(sorted(taken))


def _different(propose: Callable[[], HeadSet | None], draws: int, *, excluded: HeadSet) -> list[HeadSet]:
    """Gather different proposals, fewer than asked for where no new one turns up."""
    found: dict[HeadSet, None] = {}
    for _ in range(MOST_TRIES * draws):
        if len(found) == draws:
            break
        one = propose()
        if one is not None and one != excluded:
            found[one] = None
    return list(found)


def _arm(unit: str, strategy: str, sets: Sequence[HeadSet], book: _Book) -> KnockoutArm:
    """Put an arm's sets into the book."""
    return KnockoutArm(unit, strategy, tuple(book.column(heads) for heads in sets))


def _note_fewer(notes: list[str], kind: str, found: int, asked: int) -> None:
    """Say where fewer sets exist than asked for."""
    if found < asked:
        notes.append(f"Only {found} different {kind} were found, {asked} were asked for.")


def _scored_layers(scores: HeadScores) -> tuple[int, ...]:
    """List the layers with a score."""
    values = scores.layer_values[scores.score]
    return tuple(layer_idx for layer_idx in scores.architecture.attention_layers if not np.isnan(values[layer_idx]))


def _ranked_heads(scores: HeadScores) -> list[Head]:
    """List the heads with a score from highest to lowest, earlier ones first among equals."""
    values, layers = scores.values[scores.score], set(_scored_layers(scores))
    heads = [(int(layer), int(head)) for layer, head in zip(*np.nonzero(~np.isnan(values)), strict=True)]
    return sorted((head for head in heads if head[0] in layers), key=lambda head: (-float(values[head]), head))


def _heads_of(scores: HeadScores, layers: Sequence[int]) -> HeadSet:
    """List the heads of some layers that have a score."""
    return tuple(head for head in sorted(_ranked_heads(scores)) if head[0] in layers)


def _check_count(option: str, k: int, there: int, *, unit: str) -> None:
    """Refuse a number of layers or heads that leaves nothing to compare with.

    Raises:
        OptionError: If it does.
    """
    if not 1 <= k < there:
        raise OptionError(
            f"{option} is {k}; expected 1 to {there - 1}: {there} {unit} have a score, and the chosen ones are held "
            "against others."
        )
