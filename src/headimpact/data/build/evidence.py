"""What speaks for a category being a picture's key object, in numbers from 0 to 1.

A candidate is a category, not a single object: captions say "two dogs", and which of five people "a man" is, no
caption tells. Its evidence comes from the captions (who names it, and as what) and from its instances (how much of
the picture they take, how central they are, how many).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from headimpact.core.errors import DataFormatError
from headimpact.data.build.mentions import MentionFinder
from headimpact.data.masks import RleMask, SizeHW

Box = tuple[float | int, float | int, float | int, float | int]
"""Left, top, width, height in pixels, as in COCO."""

Instances = Literal["named", "union", "single"]
Crowds = Literal["refuse", "ignore", "include"]


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One annotated object of a picture.

    Attributes:
        instance_id: Identifier, unique in its picture.
        category: Its category.
        box: Its box.
        area: Visible pixels; those of the mask, where there is one.
        is_crowd: Whether it stands for a group whose members are not told apart.
        mask: Its pixels, where they are at hand.
    """

    instance_id: str
    category: str
    box: Box
    area: float | int
    is_crowd: bool = False
    mask: RleMask | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            DataFormatError: If a size is negative or a number is not finite.
        """
        numbers = (*self.box, self.area)
        if not all(map(math.isfinite, numbers)) or min(self.box[2], self.box[3], self.area) < 0:
            raise DataFormatError(
                f"Broken size of object {self.instance_id!r} ({self.category}): box {self.box}, area {self.area}; "
                "expected finite numbers, width, height and area from 0 up."
            )


@dataclass(frozen=True, kw_only=True)
class AnnotatedPicture:
    """What is known of a picture without opening it.

    Attributes:
        image_id: Identifier.
        size_hw: Height and width in pixels.
        captions: Its captions; blank ones do not count.
        instances: Its annotated objects.
    """

    image_id: str
    size_hw: SizeHW
    captions: tuple[str, ...]
    instances: tuple[Instance, ...]

    def __post_init__(self) -> None:
        """Check the size.

        Raises:
            DataFormatError: If height or width is not positive.
        """
        if min(self.size_hw) <= 0:
            raise DataFormatError(
                f"Broken size of picture {self.image_id!r}: {self.size_hw}; expected height and width above 0."
            )

    @property
    def spoken(self) -> tuple[str, ...]:
        """The captions that are not blank."""
        return tuple(caption for caption in self.captions if caption.strip())


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What speaks for one category in one picture.

    Attributes:
        category: The category.
        named_share: Share of the captions that name it.
        subject_share: Share of the captions whose subject it is.
        area_share: Share of the picture that its instances cover together, or the chosen one alone.
        centrality: 1 where they are in the middle of the picture, 0 in a corner; 0 without an instance.
        num_instances: How many there are, crowds counted as one each unless they are ignored.
        has_crowd: Whether one of them is a crowd.
        instance_ids: Those whose pixels would be the key object's.
        single_share: Share of the captions naming it that speak of one.
        next_area_share: Share that the next largest instance covers, where the largest alone is taken because the
            captions speak of one; else 0.
    """

    category: str
    named_share: float
    subject_share: float
    area_share: float
    centrality: float
    num_instances: int
    has_crowd: bool
    instance_ids: tuple[str, ...]
    single_share: float = 0.0
    next_area_share: float = 0.0


def gather_evidence(
    picture: AnnotatedPicture, finder: MentionFinder, *, instances: Instances = "named", crowds: Crowds = "refuse"
) -> tuple[Evidence, ...]:
    """Gather the evidence for every category that is annotated in a picture or named by its captions.

    Args:
        picture: The picture.
        finder: Finds the mentions of the data set's categories.
        instances: "union" takes all instances of a category together, "single" the largest alone, "named" the
            largest alone where most of the captions naming the category speak of one, else all.
        crowds: "ignore" leaves crowds' pixels out; else they belong to their category.

    Returns:
        One for each category, by name; one without an instance is named but not annotated.

    Example:
        >>> from headimpact.data.build.mentions import build_mention_finder
        >>> dog = Instance(instance_id="1", category="dog", box=(4, 4, 2, 2), area=4)
        >>> picture = AnnotatedPicture(image_id="7", size_hw=(10, 10), captions=("A dog.", "A lawn."), instances=(dog,))
        >>> (found,) = gather_evidence(picture, build_mention_finder(["dog"]))
        >>> found.named_share, found.subject_share, found.area_share, found.centrality
        (0.5, 0.5, 0.04, 1.0)
    """
    said = [finder.read(caption) for caption in picture.spoken]
    annotated = {instance.category for instance in picture.instances}
    named = {category for found in said for category in found}
    evidence = []
    for category in sorted(annotated | named):
        listed = [instance for instance in picture.instances if instance.category == category]
        usable = [instance for instance in listed if not (crowds == "ignore" and instance.is_crowd)]
        by_size = sorted(usable, key=lambda one: one.area, reverse=True)
        naming = [found[category] for found in said if category in found]
        of_one = sum(one.is_one for one in naming)
        takes_one = instances == "single" or (instances == "named" and 2 * of_one > len(naming))
        chosen = by_size[:1] if takes_one else usable
        evidence.append(
            Evidence(
                category=category,
                named_share=len(naming) / len(said) if said else 0.0,
                subject_share=sum(one.role == "subject" for one in naming) / len(said) if said else 0.0,
                area_share=area_share(chosen, size_hw=picture.size_hw),
                centrality=centrality(chosen, size_hw=picture.size_hw),
                num_instances=len(usable),
                has_crowd=any(instance.is_crowd for instance in listed),
                instance_ids=tuple(instance.instance_id for instance in chosen),
                single_share=of_one / len(naming) if naming else 0.0,
                next_area_share=area_share(by_size[1:2], size_hw=picture.size_hw)
                if takes_one and instances == "named"
                else 0.0,
            )
        )
    return tuple(evidence)


def area_share(instances: Sequence[Instance], *, size_hw: SizeHW) -> float:
    """Give the share of a picture that instances cover together.

    Exact where all have masks. Without, their areas are added, at most the whole picture: COCO's areas are of
    visible pixels and hardly overlap, except those of crowds.

    Args:
        instances: Objects of one picture.
        size_hw: Height and width of the picture.

    Returns:
        A share in [0, 1].

    Example:
        >>> one = Instance(instance_id="1", category="dog", box=(0, 0, 5, 4), area=20)
        >>> area_share([one, one], size_hw=(10, 10))
        0.4
    """
    masks = [instance.mask for instance in instances if instance.mask is not None]
    pixels = size_hw[0] * size_hw[1]
    if len(masks) > 1 and len(masks) == len(instances) and _may_overlap([instance.box for instance in instances]):
        return RleMask.union(masks).area / pixels
    return min(1.0, sum(instance.area for instance in instances) / pixels)


def centrality(instances: Sequence[Instance], *, size_hw: SizeHW) -> float:
    """Say how near to the middle of a picture instances are.

    1 - d of each, averaged with the areas as weights. d is the distance of the box's middle from the picture's, as a
    share of half the diagonal, width and height of the picture counting the same. Averaged over instances, so that
    two at opposite edges are not central.

    Args:
        instances: Objects of one picture.
        size_hw: Height and width of the picture.

    Returns:
        1 in the middle, 0 in a corner or without an instance.

    Example:
        >>> edge = Instance(instance_id="1", category="dog", box=(0, 4, 0, 2), area=1)
        >>> round(centrality([edge], size_hw=(10, 10)), 4)
        0.2929
    """
    if not instances:
        return 0.0
    height, width = size_hw
    weights = [float(instance.area) for instance in instances]
    if not sum(weights):
        weights = [1.0] * len(instances)
    total = 0.0
    for instance, weight in zip(instances, weights, strict=True):
        left, top, box_width, box_height = instance.box
        across, down = (left + box_width / 2) / width - 0.5, (top + box_height / 2) / height - 0.5
        total += weight * (1.0 - min(1.0, math.hypot(across, down) * math.sqrt(2.0)))
    return total / sum(weights)


def _may_overlap(boxes: Sequence[Box]) -> bool:
    """Tell whether any two boxes share a pixel; many boxes are taken to."""
    if len(boxes) > 8:
        return True
    return any(
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
        for one, other in itertools.combinations(boxes, 2)
    )
