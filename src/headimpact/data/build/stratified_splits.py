"""Give each picture a split so that every split has its share of each category and of small and large objects.

A stratum is a category and an area tercile (small, medium or large among all pictures). Within a stratum pictures
stand in the order of a hash of seed and id, and the order is cut at the cumulative shares; a stratum's own random
offset decides which way its cuts are rounded, so that small strata do not all favour the largest split. Then the few
pictures that a split has too many or too few are moved, out of strata that have too many of it.

Exact: every picture is in one split; the splits' sizes; what came out depends on the pictures and the seed, not on
their order or the machine. Approximate: a stratum's counts, within 1 of its shares before the last step, mostly
after; and what stays in place when pictures are added: each moves a cut by 1 at most, one that changes its tercile
keeps its hash and so mostly its split, and the last step may choose others. Splits of the same pictures with other
shares are not nested.

Given counts, leave one open (None) for what remains: then growing data keep the small splits' sizes.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from headimpact.core.errors import OptionError
from headimpact.data.splits import SHARES, check_shares, hash_share, rank_ids, split_sizes

Stratum = tuple[str, int]
"""A category and an area tercile, 0 (small) to 2 (large)."""


@dataclass(frozen=True)
class PictureKind:
    """What a picture is stratified by.

    Attributes:
        category: Category of its first key object.
        area_share: Share of the picture that its key objects cover.
    """

    category: str
    area_share: float


def assign_stratified_splits(
    pictures: Mapping[str, PictureKind],
    *,
    seed: int = 0,
    shares: Mapping[str, float] = SHARES,
    counts: Mapping[str, int | None] | None = None,
) -> dict[str, str]:
    """Share pictures out among splits, stratified.

    Args:
        pictures: Picture id to what it is stratified by.
        seed: Seed of the order.
        shares: Split name to its share; positive, adding up to 1. Not used where counts are given.
        counts: Split name to its number of pictures, adding up to all; at most one None takes what remains.

    Returns:
        Picture id to split name, in the order of `pictures`.

    Raises:
        OptionError: If shares are not positive or do not add up to 1, or counts do not fit the number of pictures.

    Example:
        >>> kinds = {str(n): PictureKind("dog" if n % 2 else "cat", n / 100) for n in range(40)}
        >>> chosen = assign_stratified_splits(kinds, counts={"train": None, "test": 10})
        >>> sum(split == "test" for split in chosen.values())
        10
    """
    sizes = _sizes_of_counts(len(pictures), counts) if counts is not None else _sizes_of_shares(len(pictures), shares)
    if not pictures:
        return {}
    strata: dict[Stratum, list[str]] = defaultdict(list)
    for image_id, stratum in stratify(pictures).items():
        strata[stratum].append(image_id)
    strata = {stratum: rank_ids(strata[stratum], seed=seed, purpose="stratified") for stratum in sorted(strata)}
    chosen: dict[str, str] = {}
    for stratum, ranked in strata.items():
        chosen |= _cut(ranked, sizes, offset=hash_share(repr(stratum), seed=seed, purpose="offset"))
    _settle_sizes(chosen, strata, sizes)
    return {image_id: chosen[image_id] for image_id in pictures}


def stratify(pictures: Mapping[str, PictureKind]) -> dict[str, Stratum]:
    """Give each picture its stratum.

    Args:
        pictures: Picture id to what it is stratified by.

    Returns:
        Picture id to category and tercile. Terciles are of all pictures' areas; equal areas are in the same one.

    Example:
        >>> stratify({"a": PictureKind("dog", 0.1), "b": PictureKind("dog", 0.2), "c": PictureKind("cat", 0.3)})
        {'a': ('dog', 0), 'b': ('dog', 1), 'c': ('cat', 2)}
    """
    areas = sorted(kind.area_share for kind in pictures.values())
    edges = [areas[len(areas) * part // 3] for part in (1, 2)] if areas else []
    return {
        image_id: (kind.category, sum(kind.area_share >= edge for edge in edges)) for image_id, kind in pictures.items()
    }


def _sizes_of_shares(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Turn shares into numbers of pictures.

    Raises:
        OptionError: If shares are not positive or do not add up to 1.
    """
    check_shares(shares)
    return split_sizes(total, shares)


def _sizes_of_counts(total: int, counts: Mapping[str, int | None]) -> dict[str, int]:
    """Fill in the open count.

    Raises:
        OptionError: If the counts do not fit the number of pictures.
    """
    given = [count for count in counts.values() if count is not None]
    num_open = len(counts) - len(given)
    rest = total - sum(given)
    if num_open > 1 or min(given, default=0) < 0 or rest < 0 or (rest and not num_open):
        raise OptionError(
            f"Counts of splits: given {dict(counts)} for {total} pictures; expected numbers from 0 up that add up to "
            f"{total}, or at most {total} with one None for what remains."
        )
    return {name: rest if count is None else count for name, count in counts.items()}


def _cut(ranked: list[str], sizes: Mapping[str, int], *, offset: float) -> dict[str, str]:
    """Cut the order of a stratum at the cumulative shares, rounded by an offset in [0, 1)."""
    total = sum(sizes.values())
    chosen: dict[str, str] = {}
    start = reached = 0
    for name, size in sizes.items():
        reached += size
        end = len(ranked) if reached == total else math.floor(len(ranked) * reached / total + offset)
        chosen |= dict.fromkeys(ranked[start:end], name)
        start = max(start, end)
    return chosen


def _settle_sizes(chosen: dict[str, str], strata: Mapping[Stratum, list[str]], sizes: Mapping[str, int]) -> None:
    """Move pictures from splits that have too many to splits that have too few, where their strata gain most."""
    total = sum(sizes.values())
    counts = {stratum: Counter(chosen[image_id] for image_id in ranked) for stratum, ranked in strata.items()}

    def surplus(stratum: Stratum, name: str) -> float:
        return counts[stratum][name] - len(strata[stratum]) * sizes[name] / total

    over = Counter(chosen.values())
    over.subtract(sizes)
    while any(over.values()):
        source = max(sizes, key=lambda name: over[name])
        target = min(sizes, key=lambda name: over[name])
        having = [stratum for stratum in strata if counts[stratum][source]]
        stratum = max(having, key=lambda one: surplus(one, source) - surplus(one, target))
        moved = next(image_id for image_id in reversed(strata[stratum]) if chosen[image_id] == source)
        chosen[moved] = target
        for name, change in ((source, -1), (target, 1)):
            over[name] += change
            counts[stratum][name] += change
