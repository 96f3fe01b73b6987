"""Pictures in words, for the tests of this folder."""

import math
import random
from collections.abc import Iterator

from headimpact.data.build import word_lists
from headimpact.data.build.evidence import AnnotatedPicture, Instance
from headimpact.data.build.mentions import build_mention_finder
from headimpact.data.synonyms import FALSE_FRIENDS, SYNONYMS

SIZE_HW = (100, 200)
PLACES = {
    "middle": (0.5, 0.5), "left": (0.2, 0.5), "right": (0.8, 0.5), "top": (0.5, 0.2), "bottom": (0.5, 0.8),
    "corner": (0.1, 0.1),
}  # fmt: skip
FINDER = build_mention_finder([*SYNONYMS, "Hund", "\u732b"])
"""Finds COCO's categories, a German one and a Japanese one."""


def random_captions(count: int, *, seed: int = 0) -> Iterator[str]:
    """Invent captions without sense from every word that the rules know, names, others, hyphens and stops."""
    generator = random.Random(seed)
    listed = [sorted(words) for name, words in vars(word_lists).items() if name.isupper()]
    names = sorted({word for table in (SYNONYMS, FALSE_FRIENDS) for key in table for word in (key, *table[key])})
    kinds = [*listed, names, names, names, ["lawn", "walking", "painted", "grass", "7"], list(",.!?-'")]
    for _ in range(count):
        words = [generator.choice(generator.choice(kinds)) for _ in range(generator.randint(1, 14))]
        yield "".join(f"{word}{generator.choice(['', 's', ''])}{generator.choice('   -')}" for word in words)


def instance(category, share, place="middle", *, number=1, crowd=False):
    """Make an object that covers a share of the picture at a place, its box of the picture's shape."""
    height, width = SIZE_HW
    across, down = PLACES[place]
    side = math.sqrt(share)
    box = ((across - side / 2) * width, (down - side / 2) * height, side * width, side * height)
    return Instance(
        instance_id=f"{category}-{number}", category=category, box=box, area=share * height * width, is_crowd=crowd
    )


def objects(words):
    """Read objects: "2 dog .1 left, crowd person .3 middle"; the share is that of each one."""
    made: list[Instance] = []
    for part in filter(None, (part.strip() for part in words.split(","))):
        *start, share, place = part.split()
        crowd = start[0] == "crowd"
        count = int(start[0]) if start[0].isdigit() else 1
        category = " ".join(start[1:] if crowd or start[0].isdigit() else start)
        for _ in range(count):
            made.append(instance(category, float(share), place, number=len(made) + 1, crowd=crowd))
    return tuple(made)


def picture(captions, things, *, image_id="1"):
    """Make a picture of captions, divided by "|", and objects in words."""
    listed = tuple(caption.strip() for caption in captions.split("|"))
    return AnnotatedPicture(image_id=image_id, size_hw=SIZE_HW, captions=listed, instances=objects(things))
