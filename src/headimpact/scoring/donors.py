"""Which other pictures' masks stand in for a picture's own, so that a score can be held against chance.

The pictures are put, seeded and whatever their order, into groups of at most D + 1; the bank of a group is
the masks of its own pictures, and a picture is scored against all others of its group. So D masks per
picture are scored, as with one fixed bank, but within a group masks and pictures can be *exchanged*, which
makes the test of `chance.py` exact. One bank of D masks for all pictures was measured first and is not
calibrated: see there.
"""

import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from headimpact.core.errors import OptionError

DEFAULT_DONORS = 64


@dataclasses.dataclass(frozen=True)
class DonorPlan:
    """Groups of pictures that lend one another their masks.

    Attributes:
        groups: Picture ids, every picture in exactly one group.
        seed: Seed the groups were drawn with.
    """

    groups: tuple[tuple[str, ...], ...]
    seed: int

    def donors_of(self, image_id: str) -> tuple[str, ...]:
        """List the pictures whose masks stand in for a picture's own; never the picture itself.

        Args:
            image_id: A picture of the plan.

        Returns:
            Picture ids, in an order that is the same for the whole group.

        Raises:
            KeyError: If the picture is not in the plan.
        """
        return tuple(other for other in self.groups[self._place[image_id]] if other != image_id)

    @functools.cached_property
    def _place(self) -> Mapping[str, int]:
        """Map each picture to its group."""
        return {image_id: place for place, group in enumerate(self.groups) for image_id in group}


def plan_donors(image_ids: Sequence[str], *, donors: int = DEFAULT_DONORS, seed: int = 0) -> DonorPlan:
    """Draw groups of at most `donors` + 1 pictures of nearly equal size.

    Args:
        image_ids: Pictures that may be scored; their order does not matter.
        donors: Most masks a picture is scored against beside its own; at least 1. Fewer are used where
            there are fewer pictures.
        seed: Seed of the draw.

    Returns:
        The plan; the same for the same set of pictures, number and seed.

    Raises:
        OptionError: If `donors` is below 1 or a picture is named twice.
    """
    if donors < 1:
        raise OptionError(f"Number of donors out of range: {donors}. Expected at least 1, such as {DEFAULT_DONORS}.")
    repeated = [image_id for image_id, count in Counter(image_ids).items() if count > 1]
    if repeated:
        raise OptionError(
            f"Picture named twice: {repeated[0]!r}. Expected every picture once; average its captions first."
        )
    ordered = sorted(image_ids, key=lambda image_id: (picture_key(f"{seed}:{image_id}"), image_id))
    count = -(-len(ordered) // (donors + 1))
    return DonorPlan(groups=tuple(tuple(ordered[start::count]) for start in range(count)), seed=seed)


def picture_key(image_id: str) -> int:
    """Hash a picture id to a whole number below 2^64, the same on every machine."""
    return int.from_bytes(hashlib.sha256(image_id.encode("utf-8", errors="surrogatepass")).digest()[:8], "big")
