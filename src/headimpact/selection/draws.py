"""Random sets of layers, numbered so that no two draws of a seed are the same set."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from headimpact.core.errors import NoSuchDrawError

FEWEST_SETS = 3
LISTED_SETS = 20_000
MOST_TRIES = 100_000
RANDOM_STREAM = 1
DEPTH_STREAM = 2
T = TypeVar("T")


def draw_random(
    layers: Sequence[int], k: int, *, excluded: tuple[int, ...] | None, seed: int, draw: int
) -> tuple[int, ...]:
    """Draw a set of k layers, uniform over all sets but one.

    Draws 0, 1, 2 ... of a seed are one sequence without repetition; draw i does not depend on later ones.

    Args:
        layers: Layers to draw from.
        k: Size of the set.
        excluded: The set that is never drawn (the top one), ascending; None to allow all.
        seed: Seed of the sequence.
        draw: Which draw, 0-based.

    Returns:
        Layers, ascending.

    Raises:
        NoSuchDrawError: If there are fewer such sets than draws asked for.
    """
    available = math.comb(len(layers), k) - (excluded is not None)
    _check_available(
        available, draw, kind=f"sets of {k} out of {len(layers)} layers ({_named(layers)}) other than the selected one"
    )
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, RANDOM_STREAM]))

    def propose() -> tuple[int, ...]:
        return tuple(sorted(int(one) for one in generator.choice(layers, size=k, replace=False)))

    return take_draw(propose, draw, excluded=excluded)


def draw_replacements(
    selected: tuple[int, ...], layers: Sequence[int], *, num_layers: int, seed: int, draw: int
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Replace each selected layer by one nearby that is not selected, without repeats.

    Nearby is within max(1, round(L / 8)) layers. Where that allows fewer than three different sets, the
    window is widened layer by layer until it does or spans the model. Sets are drawn uniformly where there
    are few enough to list them, else by replacing one layer after the other at random.

    Args:
        selected: The selected layers, ascending.
        layers: Layers that may be chosen.
        num_layers: Layers L of the model.
        seed: Seed of the sequence of draws.
        draw: Which draw, 0-based; draws of one seed are all different.

    Returns:
        Layers, ascending, and a sentence where the window was widened.

    Raises:
        NoSuchDrawError: If too few layers are left to replace all selected ones, or there are fewer different sets
            than draws asked for.

    Source: depth-matched random of the scores page (`docs/method.md`).
    """
    others, window, sets = depth_matched_sets(selected, layers, num_layers=num_layers)
    first = nearest_window(num_layers)
    remarks: tuple[str, ...] = ()
    if window > first:
        count = "many" if sets is None else len(sets)
        remarks = (
            f"Fewer than {FEWEST_SETS} depth-matched sets lie within {first} layers of the selected ones; the window "
            f"was widened to {window}, which allows {count}.",
        )
    if sets is not None:
        kind = f"depth-matched sets for the layers {_named(selected)}, with {_named(others)} left to replace them"
        _check_available(len(sets), draw, kind=kind)
        order = np.random.Generator(np.random.Philox(key=[seed % 2**64, DEPTH_STREAM])).permutation(len(sets))
        return sets[order[draw]], remarks
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, DEPTH_STREAM]))
    return take_draw(lambda: _replace_in_turn(selected, others, window, generator), draw, excluded=None), remarks


def nearest_window(num_layers: int) -> int:
    """Give the distance within which a layer counts as nearby: max(1, round(L / 8)).

    Example:
        >>> nearest_window(12), nearest_window(28), nearest_window(2)
        (2, 4, 1)
    """
    return max(1, math.floor(num_layers / 8 + 0.5))


def depth_matched_sets(
    selected: Sequence[int], layers: Sequence[int], *, num_layers: int
) -> tuple[list[int], int, list[tuple[int, ...]] | None]:
    """List the sets that `draw_replacements` draws from.

    Args:
        selected: The selected layers, ascending.
        layers: Layers that may be chosen.
        num_layers: Layers L of the model.

    Returns:
        Layers that may stand in, the window that was needed, and the sets; None where there are too many to list.
    """
    others = [layer_idx for layer_idx in layers if layer_idx not in selected]
    window = nearest_window(num_layers)
    sets = replacement_sets(selected, others, window=window)
    while sets is not None and len(sets) < FEWEST_SETS and window < num_layers - 1:
        window += 1
        sets = replacement_sets(selected, others, window=window)
    return others, window, sets


def replacement_sets(selected: Sequence[int], others: Sequence[int], *, window: int) -> list[tuple[int, ...]] | None:
    """List the different sets in which each selected layer has a substitute of its own within the window.

    Args:
        selected: Layers to replace.
        others: Layers to replace them by.
        window: Largest distance between a layer and its substitute.

    Returns:
        Sets, each ascending, in order; None where there are too many to list.

    Example:
        >>> replacement_sets([2, 3], [0, 1, 4], window=2)
        [(0, 1), (0, 4), (1, 4)]
    """
    found: set[frozenset[int]] = {frozenset()}
    for layer_idx in selected:
        near = [other for other in others if abs(other - layer_idx) <= window]
        found = {one | {other} for one in found for other in near if other not in one}
        if len(found) > LISTED_SETS:
            return None
    return sorted(tuple(sorted(one)) for one in found)


def _replace_in_turn(
    selected: Sequence[int], others: Sequence[int], window: int, generator: np.random.Generator
) -> tuple[int, ...] | None:
    """Replace layers one after the other in random order; None where one is left without a substitute."""
    taken: set[int] = set()
    for layer_idx in generator.permutation(selected):
        near = [other for other in others if abs(other - layer_idx) <= window and other not in taken]
        if not near:
            return None
        taken.add(near[int(generator.integers(len(near)))])
    return tuple(sorted(taken))


def take_draw(
    propose: Callable[[], T | None],
    draw: int,
    *,
    excluded: T | None,
    kind: str = "layers",
    most_tries: int = MOST_TRIES,
) -> T:
    """Give the draw-th different proposal.

    Args:
        propose: Gives a set, or None where it found none.
        draw: Which draw, 0-based.
        excluded: The set that is never given; None to allow all.
        kind: What the sets are of, for the message.
        most_tries: Proposals per draw after which it gives up.

    Returns:
        The set.

    Raises:
        NoSuchDrawError: If no further different set turns up.
    """
    known: set[T | None] = {None, excluded}
    found = -1
    for _ in range(most_tries * (draw + 1)):
        one = propose()
        if one is None or one in known:
            continue
        known.add(one)
        found += 1
        if found == draw:
            return one
    raise NoSuchDrawError(f"No further set of {kind} was found after {found + 1} draws. Ask for fewer draws.")


def _named(layers: Sequence[int]) -> str:
    """Name layers in a message."""
    return " ".join(map(str, layers)) or "none"


def _check_available(available: int, draw: int, *, kind: str) -> None:
    """Refuse a draw beyond the sets there are.

    Raises:
        NoSuchDrawError: If there are too few.
    """
    if draw >= available:
        remedy = f"Ask for at most {available} draws, or choose another k." if available else "Choose a smaller k."
        raise NoSuchDrawError(
            f"Draw {draw} does not exist: there are {available} different {kind} (draws count from 0). {remedy}"
        )
