"""From the masks that captions gave to the key objects of a picture.

In: the masks of all captions of a picture. Out: one object for each thing, whatever its captions call it, and which of
them are key by the rule of `data.build.key_objects`.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pycocotools import mask as coco_mask

from headimpact.annotation.boxes import SizeHW
from headimpact.annotation.masks_from_text import MadeMask
from headimpact.data.build.decisions import PictureDecision
from headimpact.data.build.evidence import AnnotatedPicture, Instance
from headimpact.data.build.key_objects import KeyObjectRule, decide_picture
from headimpact.data.build.mentions import build_mention_finder
from headimpact.data.synonyms import SYNONYMS, category_names

SAME_OBJECT = 0.8
"""Overlap of two masks above which they are of one object; that of boxes, `detection.MAX_OVERLAP`."""


@dataclass(frozen=True)
class MadeObject:
    """One thing in a picture.

    Attributes:
        mask: The most confident of its masks; its phrase is what the object is called.
        phrases: All phrases that led to it, the most confident first.
    """

    mask: MadeMask
    phrases: tuple[str, ...]

    @property
    def category(self) -> str:
        """What the object is called."""
        return self.phrases[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Words that count as naming it: its phrases and what their last words are known as."""
        known = (name for phrase in self.phrases for name in (phrase, *category_names(head_of(phrase))))
        return tuple(dict.fromkeys(known))


def merge_masks(masks: Iterable[MadeMask], *, same_object: float = SAME_OBJECT) -> tuple[MadeObject, ...]:
    """Take masks that overlap for one object, since captions call one thing by several names.

    Args:
        masks: Masks of one picture, all of one size.
        same_object: Overlap (shared by joint area) in [0, 1] above which two are of one object.

    Returns:
        The objects, the most confident first; equal ones in the order in which they came.
    """
    objects: list[MadeObject] = []
    for made in sorted(masks, key=lambda one: -_confidence(one)):
        overlaps = [_overlap(made, known.mask) for known in objects]
        best = max(range(len(objects)), key=lambda place: overlaps[place], default=None)
        if best is None or overlaps[best] <= same_object:
            objects.append(MadeObject(made, (made.phrase.text,)))
        else:
            phrases = dict.fromkeys((*objects[best].phrases, made.phrase.text))
            objects[best] = replace(objects[best], phrases=tuple(phrases))
    return tuple(objects)


def choose_key_masks(
    image_id: str,
    size_hw: SizeHW,
    captions: Sequence[str],
    objects: Sequence[MadeObject],
    *,
    rule: KeyObjectRule | None = None,
) -> tuple[tuple[MadeObject, ...], PictureDecision]:
    """Choose which objects are key, by the rule that is used for COCO.

    Args:
        image_id: The picture.
        size_hw: Its height and width, upright.
        captions: Its captions.
        objects: Its objects.
        rule: Options; the defaults if left out.

    Returns:
        The key objects, and the decision with its reasons.
    """
    instances = []
    for number, found in enumerate(objects):
        x0, y0, x1, y1 = found.mask.box
        instances.append(
            Instance(
                instance_id=str(number),
                category=found.category,
                box=(x0, y0, x1 - x0, y1 - y0),
                area=found.mask.mask.area,
            )
        )
    named: dict[str, list[str]] = defaultdict(list)
    for found in objects:
        named[found.category] += found.phrases
    picture = AnnotatedPicture(image_id=image_id, size_hw=size_hw, captions=tuple(captions), instances=tuple(instances))
    decision = decide_picture(picture, build_mention_finder(named, names=named), rule=rule)
    chosen = {number for evidence in decision.key_objects for number in evidence.instance_ids}
    return tuple(found for number, found in enumerate(objects) if str(number) in chosen), decision


def head_of(phrase: str) -> str:
    """Give what a noun phrase is about: its longest ending that is a known category, else its last word.

    Example:
        >>> head_of("red fire hydrant"), head_of("small brown dog"), head_of("old lighthouse")
        ('fire hydrant', 'dog', 'lighthouse')
    """
    words = phrase.split()
    endings = [" ".join(words[start:]) for start in range(len(words))]
    return next((ending for ending in endings if ending in SYNONYMS), endings[-1])


def _confidence(made: MadeMask) -> float:
    """Give one number for box and mask together."""
    return made.box_confidence * (1.0 if made.mask_confidence is None else made.mask_confidence)


def _overlap(one: MadeMask, other: MadeMask) -> float:
    """Give the overlap of two masks: shared by joint area."""
    first, second = ({"size": list(made.mask.size_hw), "counts": made.mask.counts} for made in (one, other))
    return float(coco_mask.iou([first], [second], [0])[0, 0])
