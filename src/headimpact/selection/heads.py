"""Ways to choose single heads: by score or at random; the number of heads fills a budget, or the rank does."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import OptionError
from headimpact.core.head_parts import Head, count_head_lora_parameters, head_part, heads_by_layer
from headimpact.core.lora_arithmetic import check_lora_targets
from headimpact.core.registry import unknown_name_message
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.budget import parse_budget
from headimpact.selection.draws import take_draw
from headimpact.selection.selection import DEFAULT_TARGETS, Selection

HEAD_STRATEGIES = ("top-k", "bottom-k", "random", "depth-matched")
"""Strategies that choose heads."""

WELL_FILLED = 0.99
"""Share of the budget below which a choice says that it leaves some, so that arms may differ in cost."""

_MOST_TRIES = 1000
_STREAMS = {"random": 3, "depth-matched": 4}


@dataclasses.dataclass(frozen=True)
class _Price:
    """What heads add to one projection of a layer at rank 1.

    Attributes:
        shared: What the layer's first head pays for all.
        width: What the first head of a part pays for its rows or columns.
        heads_per_part: Query heads that share them.
    """

    shared: int
    width: int
    heads_per_part: int

    def add(self, head_idx: int, taken: Sequence[int]) -> int:
        """Count what one more head of the layer adds."""
        part = head_idx // self.heads_per_part
        is_new = all(other // self.heads_per_part != part for other in taken)
        return self.shared * (not taken) + self.width * is_new


@dataclasses.dataclass(frozen=True)
class _Room:
    """How many heads there is room for: a number, or parameters at rank 1."""

    prices: dict[int, tuple[_Price, ...]]
    k: int | None
    units: int | None

    def fill(self, order: Iterable[Head]) -> tuple[Head, ...]:
        """Take heads in an order, leaving out those that would exceed the room; ascending."""
        if self.units is None or self.k is not None:
            return tuple(sorted(list(order)[: self.k]))
        left, taken = self.units, {layer_idx: list[int]() for layer_idx in self.prices}
        for layer_idx, head_idx in order:
            price = sum(one.add(head_idx, taken[layer_idx]) for one in self.prices[layer_idx])
            if price <= left:
                taken[layer_idx].append(head_idx)
                left -= price
        return tuple(sorted((layer_idx, head_idx) for layer_idx, heads in taken.items() for head_idx in heads))


def select_heads(
    scores: HeadScores,
    *,
    strategy: str = "top-k",
    k: int | None = None,
    budget: str | None = None,
    r: int = 8,
    target_modules: tuple[str, ...] = DEFAULT_TARGETS,
    seed: int = 0,
    draw: int = 0,
) -> Selection:
    """Choose the heads to tune.

    With a budget alone, heads are taken in the strategy's order as long as they fit at rank r; one that does not, since
    it would be the first of its layer, is passed over for later ones that do. So heads that lie together leave room for
    more of them, and all arms come close to the budget. With a number of heads as well, the rank fills the budget.

    Args:
        scores: Scores of all heads; a head without one cannot be chosen.
        strategy: One of `HEAD_STRATEGIES`.
        k: Number of heads.
        budget: Trainable parameters, `0.01%` or `204800`, of which only live entries count.
        r: LoRA rank; where both k and budget are given it follows from them.
        target_modules: Projections that are tuned.
        seed: Seed of the random strategies.
        draw: Number of the draw, 0-based; draws of one seed are all different.

    Returns:
        The selection, with heads ascending.

    Raises:
        UnknownNameError: If a target module is unknown.
        OptionError: If no head has a score, the strategy chooses no heads, neither k nor budget is given, k is below 1
            or above the heads that have a score, the budget holds no head at r or not k heads at r = 1, a draw goes
            with a strategy without draws, or there are fewer different draws than asked for.
        UnsupportedModelError: If a projection does not divide into heads.
    """
    values = scores.values[scores.score].astype(np.float64)
    heads = tuple((int(layer_idx), int(head_idx)) for layer_idx, head_idx in np.argwhere(~np.isnan(values)))
    _check_options(strategy, k, budget, draw, num_heads=len(heads))
    architecture = scores.architecture
    allowed = None if budget is None else parse_budget(budget, total_parameters=architecture.total_parameters)
    layers = sorted({layer_idx for layer_idx, _ in heads})
    check_lora_targets(architecture, layers, r=r, target_modules=target_modules)
    prices = {layer: tuple(_price(architecture, layer, name) for name in target_modules) for layer in layers}
    if allowed is not None and k is None:
        _check_room(budget, allowed, prices, r)
    room = _Room(prices, k, None if allowed is None else allowed // r)
    ranked = sorted(heads, key=lambda head: (-values[head], head))
    chosen = _choose(strategy, ranked, room, num_layers=architecture.num_layers, seed=seed, draw=draw)
    notes: tuple[str, ...] = ()
    if allowed is not None:
        cost = count_head_lora_parameters(architecture, chosen, r=1, target_modules=target_modules).trainable
        r = r if k is None else _fitting_rank(budget, allowed, cost, num_heads=len(chosen))
        if r * cost < WELL_FILLED * allowed:
            notes = (f"{r * cost:,} of the {allowed:,} parameters of the budget {budget} are used; nothing more fits.",)
    return Selection(
        strategy=strategy,
        layers=tuple(heads_by_layer(chosen)),
        heads=chosen,
        architecture=architecture,
        seed=seed,
        draw=draw,
        score=scores.score,
        scores_hash=scores.file_hash,
        budget=budget,
        r=r,
        target_modules=tuple(target_modules),
        scored_image_hashes=scores.image_hashes,
        notes=notes,
    )


def _choose(
    strategy: str, ranked: Sequence[Head], room: _Room, *, num_layers: int, seed: int, draw: int
) -> tuple[Head, ...]:
    """Fill the room in the strategy's order."""
    top = room.fill(ranked)
    if strategy == "top-k":
        return top
    if strategy == "bottom-k":
        return room.fill(reversed(ranked))
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, _STREAMS[strategy]]))
    heads = sorted(ranked)

    def at_random() -> tuple[Head, ...]:
        return room.fill(heads[place] for place in generator.permutation(len(heads)))

    def nearby() -> tuple[Head, ...]:
        return room.fill(_replacements(top, heads, num_layers=num_layers, generator=generator))

    propose: Callable[[], tuple[Head, ...]] = at_random if strategy == "random" else nearby
    return take_draw(propose, draw, excluded=top, kind="heads", most_tries=_MOST_TRIES)


def _replacements(
    top: Sequence[Head], heads: Sequence[Head], *, num_layers: int, generator: np.random.Generator
) -> list[Head]:
    """Order heads that are not the top ones: a substitute for each, as near as there is one, then the others at random.

    A substitute is of the same layer where that has heads left, else of the nearest layer that has, within
    max(1, round(L / 8)) layers. What follows the substitutes are other heads of the layers that they are in, so that a
    budget which they do not fill is filled without opening a layer.

    Raises:
        OptionError: If some head has no substitute left.
    """
    window = max(1, math.floor(num_layers / 8 + 0.5))
    free = {head for head in heads if head not in set(top)}
    found: list[Head] = []
    for place in generator.permutation(len(top)):
        layer_idx = top[place][0]
        distance = min((abs(layer - layer_idx) for layer, _ in free), default=num_layers)
        if distance > window:
            raise OptionError(
                f"Too few heads to replace the top {len(top)} by: none is left within {window} layers of layer "
                f"{layer_idx}. Choose fewer heads or a smaller budget."
            )
        near = sorted(head for head in free if abs(head[0] - layer_idx) == distance)
        found.append(near[int(generator.integers(len(near)))])
        free.remove(found[-1])
    opened = {layer_idx for layer_idx, _ in found}
    rest = sorted(head for head in free if head[0] in opened)
    return [*found, *(rest[place] for place in generator.permutation(len(rest)))]


def _price(architecture: ArchitectureSummary, layer_idx: int, projection: str) -> _Price:
    """Find what heads add to one projection."""
    part = head_part(architecture, layer_idx, projection, [0])
    inputs, outputs = architecture.projections_of(layer_idx)[projection]
    width = len(part.indices)
    return _Price(
        shared=inputs if part.in_rows else outputs,
        width=width,
        heads_per_part=architecture.num_heads * width // part.size,
    )


def _check_options(strategy: str, k: int | None, budget: str | None, draw: int, *, num_heads: int) -> None:
    """Refuse options that cannot be carried out.

    Raises:
        OptionError: If they cannot.
    """
    if strategy not in HEAD_STRATEGIES:
        raise OptionError(unknown_name_message("strategy for heads", strategy, HEAD_STRATEGIES))
    if not num_heads:
        raise OptionError("Cannot choose heads: none has a score. Score on pictures the model's heads can see.")
    if k is None and budget is None:
        raise OptionError("How many heads is not said: neither k nor a budget was given. Pass --k, --budget or both.")
    if k is not None and not 1 <= k <= num_heads:
        raise OptionError(f"Cannot choose {k} heads: {num_heads} have a score. Pass --k 1 to {num_heads}.")
    if draw < 0 or (draw and strategy not in _STREAMS):
        raise OptionError(
            f"Draw {draw} was given with strategy {strategy!r}; expected 0 or more, with {' or '.join(_STREAMS)}."
        )


def _check_room(budget: str | None, allowed: int, prices: dict[int, tuple[_Price, ...]], r: int) -> None:
    """Refuse a budget that holds no head.

    Raises:
        OptionError: If it does not.
    """
    smallest = r * min(sum(price.shared + price.width for price in of_layer) for of_layer in prices.values())
    if smallest > allowed:
        raise OptionError(
            f"Budget too small: {budget} is {allowed:,} parameters, one head at r = {r} takes {smallest:,}. Pass a "
            "larger --budget or a smaller --r."
        )


def _fitting_rank(budget: str | None, allowed: int, cost: int, *, num_heads: int) -> int:
    """Give the highest rank at which some heads fit.

    Raises:
        OptionError: If they do not at r = 1.
    """
    if cost > allowed:
        raise OptionError(
            f"Budget too small: {budget} is {allowed:,} parameters, {num_heads} heads at r = 1 take {cost:,}. Pass a "
            "larger --budget or a smaller --k."
        )
    return allowed // cost
