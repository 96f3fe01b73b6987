"""Give each picture of a folder without splits a split, the same on every machine."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from headimpact.core.errors import OptionError

SHARES: Mapping[str, float] = MappingProxyType({"calibration": 0.25, "train": 0.5, "validation": 0.1, "test": 0.15})
"""Share of the pictures in each split."""


def assign_splits(image_ids: Iterable[str], *, seed: int = 0, shares: Mapping[str, float] = SHARES) -> dict[str, str]:
    """Share pictures out among splits.

    Pictures are put in the order of a hash of seed and id, and this order is cut at the shares. So the
    result depends on the set of ids and the seed only. Sizes are the shares rounded by largest remainder;
    with at least as many pictures as splits none is empty.

    Args:
        image_ids: Picture ids; repeats count once.
        seed: Seed of the order.
        shares: Split name to its share; positive, adding up to 1.

    Returns:
        Picture id to split name, in the order in which the ids came.

    Raises:
        OptionError: If a share is not positive or they do not add up to 1.
    """
    check_shares(shares)
    ids = list(dict.fromkeys(image_ids))
    ranked = iter(rank_ids(ids, seed=seed, purpose="split"))
    chosen = {next(ranked): name for name, size in split_sizes(len(ids), shares).items() for _ in range(size)}
    return {image_id: chosen[image_id] for image_id in ids}


def rank_ids(image_ids: Iterable[str], *, seed: int, purpose: str) -> list[str]:
    """Put picture ids in a random order that depends on nothing but id, seed and purpose.

    Args:
        image_ids: Picture ids.
        seed: Seed of the order.
        purpose: Word that keeps the orders of different uses apart.

    Returns:
        The ids by rising hash; leaving some out does not move the others.
    """
    start = f"{purpose}:{seed}:"
    return sorted(image_ids, key=lambda image_id: _hash(start + image_id))


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse shares that do not make a whole.

    Args:
        shares: Split name to its share.

    Raises:
        OptionError: If a share is not positive or they do not add up to 1.
    """
    if not shares or min(shares.values()) <= 0 or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
        raise OptionError(f"Shares of splits: given {dict(shares)}; expected positive numbers that add up to 1.")


def split_sizes(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Round shares of a count by largest remainder; where there are enough, one for each at least.

    Args:
        count: Pictures to share out.
        shares: Split name to its share.

    Returns:
        Split name to its number of pictures, adding up to the count.

    Example:
        >>> split_sizes(42, SHARES)
        {'calibration': 11, 'train': 21, 'validation': 4, 'test': 6}
    """
    exact = {name: share * count for name, share in shares.items()}
    sizes = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    by_remainder = sorted(shares, key=lambda name: sizes[name] - exact[name])
    for name in by_remainder[: count - sum(sizes.values())]:
        sizes[name] += 1
    if count >= len(shares):
        for name in [name for name, size in sizes.items() if size == 0]:
            sizes[max(sizes, key=lambda other: sizes[other])] -= 1
            sizes[name] = 1
    return sizes


def hash_share(key: str, *, seed: int, purpose: str) -> float:
    """Draw a number in [0, 1) that depends on nothing but key, seed and purpose.

    Args:
        key: What the number is drawn for.
        seed: Seed of the draw.
        purpose: Word that keeps the draws of different uses apart.

    Example:
        >>> hash_share("dog", seed=0, purpose="example") == hash_share("dog", seed=0, purpose="example")
        True
    """
    return int.from_bytes(_hash(f"{purpose}:{seed}:{key}")[:6]) / 2**48


def _hash(text: str) -> bytes:
    """Hash a text to bytes that sort at random."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).digest()
