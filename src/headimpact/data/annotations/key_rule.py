"""Which of the objects that people drew on a picture its captions are about: the rule that is used for COCO."""

from collections.abc import Sequence
from threading import Lock

from headimpact.data.build.decisions import PictureDecision
from headimpact.data.build.evidence import AnnotatedPicture, Instance
from headimpact.data.build.key_objects import KeyObjectRule, decide_picture
from headimpact.data.build.mentions import build_mention_finder
from headimpact.data.entries import FolderContent
from headimpact.data.key_choice import MaskedObject
from headimpact.data.masks import mask_box


class KeyRule:
    """Chooses the key objects of pictures, and remembers why.

    Objects that are marked are key; the only object of a picture is key; of several the rule decides. Threads may share
    one.
    """

    def __init__(self, content: FolderContent, *, rule: KeyObjectRule | None = None) -> None:
        """Learn the words of a data set.

        Args:
            content: All pictures; their objects' categories are looked for in captions.
            rule: Options; the defaults if left out.
        """
        self.decisions: dict[str, PictureDecision] = {}
        self._finder = build_mention_finder(one.category for entry in content.entries for one in entry.objects)
        self._rule = rule
        self._lock = Lock()

    def __call__(self, image_id: str, captions: Sequence[str], objects: Sequence[MaskedObject]) -> list[MaskedObject]:
        """Choose the key objects of a picture.

        Args:
            image_id: The picture.
            captions: Its captions.
            objects: Its objects with their masks, all in one frame.

        Returns:
            The key objects; none where the rule finds none, which `decisions` explains.
        """
        if any(listed.is_key is not None for listed, _ in objects):
            return [(listed, mask) for listed, mask in objects if listed.is_key]
        if len(objects) < 2:
            return list(objects)
        picture = AnnotatedPicture(
            image_id=image_id,
            size_hw=objects[0][1].source.size_hw,
            captions=tuple(captions),
            instances=tuple(_instance(number, one) for number, one in enumerate(objects)),
        )
        with self._lock:  # a finder may remember captions
            decision = decide_picture(picture, self._finder, rule=self._rule)
            self.decisions[image_id] = decision
        chosen = {number for evidence in decision.key_objects for number in evidence.instance_ids}
        return [one for number, one in enumerate(objects) if str(number) in chosen]


def _instance(number: int, one: MaskedObject) -> Instance:
    """Measure an object."""
    listed, mask = one
    x0, y0, x1, y1 = mask_box(mask.source.decode()) or (0, 0, 0, 0)
    return Instance(
        instance_id=str(number),
        category=listed.category,
        box=(x0, y0, x1 - x0, y1 - y0),
        area=mask.area,
        is_crowd=listed.is_crowd,
    )
