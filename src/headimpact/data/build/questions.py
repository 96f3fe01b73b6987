"""Ask closed questions about a picture, with the one answer that its annotations give.

Four kinds, each asked only where the annotations can be trusted with the answer:

- "which": which of some named things is there; one is, the others are absent;
- "presence": is there one; for every "yes" a "no" about an absent category;
- "count": how many; small numbers of objects that are no crowd, not tiny and of a category counted one by one;
- "side": left or right of what; one object of each category, boxes clearly apart.

Absent means: not annotated, not named by a caption, and not easily taken for something that is there. What is asked
and in which order is drawn by hashes of seed and picture id, so that neither the order of the pictures nor the machine
matters. Questions do not give the answer away: their words are the same for one object and for several.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headimpact.core.errors import OptionError
from headimpact.data.build.evidence import AnnotatedPicture, Box, Instance, area_share
from headimpact.data.build.mentions import MentionFinder
from headimpact.data.build.wording import ask_presence, be, plural_name, spoken_name, with_article
from headimpact.data.splits import rank_ids

KINDS = ("which", "presence", "count", "side")

LOOKALIKES: tuple[frozenset[str], ...] = tuple(
    frozenset(group.split(", "))
    for group in (
        "car, truck, bus, train",
        "bicycle, motorcycle",
        "cup, wine glass, bottle, bowl, vase",
        "backpack, handbag, suitcase",
        "chair, couch, bench, bed",
        "tv, laptop",
        "fork, knife, spoon",
        "skis, snowboard, skateboard, surfboard",
        "oven, microwave, toaster, refrigerator",
        "donut, cake, sandwich, hot dog, pizza",
        "apple, orange, sports ball",
        "sheep, cow, horse, dog",
        "teddy bear, bear",
        "remote, cell phone",
        "kite, umbrella",
        "stop sign, parking meter, traffic light, fire hydrant",
    )
)
"""Categories that annotators take for one another; where one is there, "no" is not safe for the others."""

COUNTED_LOOSELY = frozenset(
    {"skis", "scissors", "broccoli", "banana", "carrot", "orange", "apple", "book", "dining table", "potted plant"}
)
"""Categories of which COCO's annotators drew bunches, pairs or parts as one."""


@dataclass(frozen=True, kw_only=True)
class QuestionRule:
    """Options of the questions.

    Attributes:
        most_per_kind: Questions of a kind and picture; of "presence" as many again are answered "no".
        num_choices: Things to choose from in "which".
        largest_count: Largest number asked for; four can be seen without counting.
        smallest_area_share: Smallest share of the picture that a thing asked about must cover, and every single one
            of those counted; the side of 0.01 is a tenth of the picture's.
        smallest_gap: Distance between two boxes, as a share of the picture's width, above which sides are clear.
        seed: Seed of all draws.
    """

    most_per_kind: int = 2
    num_choices: int = 3
    largest_count: int = 4
    smallest_area_share: float = 0.01
    smallest_gap: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            OptionError: If a number is too small or a share not in [0, 1].
        """
        shares = (self.smallest_area_share, self.smallest_gap)
        counts = (self.most_per_kind, self.largest_count, self.num_choices - 1)
        if min(counts) < 1 or not all(0 <= share <= 1 for share in shares):
            raise OptionError(
                f"Options of questions: given {self}; expected at least 1 question and count, 2 choices, and shares in "
                "[0, 1]."
            )


@dataclass(frozen=True, kw_only=True)
class Question:
    """A closed question with its answer.

    Attributes:
        question_id: The picture's id, the kind and a number from 1.
        image_id: The picture.
        kind: One of `KINDS`.
        question: What is asked.
        answer: The one right answer: a name, "yes" or "no", a number in digits, "left" or "right".
        choices: All answers that the question allows; empty for numbers.
        categories: What it is about.
    """

    question_id: str
    image_id: str
    kind: str
    question: str
    answer: str
    choices: tuple[str, ...]
    categories: tuple[str, ...]


def ask_questions(
    picture: AnnotatedPicture,
    finder: MentionFinder,
    *,
    key_categories: Sequence[str] = (),
    rule: QuestionRule | None = None,
) -> tuple[Question, ...]:
    """Ask what can be asked about a picture.

    Args:
        picture: The picture.
        finder: Finds the mentions of all categories of the data set; absent ones are drawn from these.
        key_categories: Categories of its key objects; they are asked about first.
        rule: Options; the defaults if left out.

    Returns:
        Questions in the order of `KINDS`; none where nothing is sure.

    Example:
        >>> from headimpact.data.build.mentions import build_mention_finder
        >>> dog = Instance(instance_id="1", category="dog", box=(2, 2, 6, 6), area=30)
        >>> picture = AnnotatedPicture(image_id="7", size_hw=(10, 10), captions=("A dog.",), instances=(dog,))
        >>> finder = build_mention_finder(["dog", "bus", "apple"])
        >>> [(one.question, one.answer) for one in ask_questions(picture, finder)][1:]
        [('Is there a dog in the picture?', 'yes'), ('Is there an apple in the picture?', 'no'), \
('How many dogs are in the picture?', '1')]
    """
    rule = rule or QuestionRule()
    present = _present(picture, key_categories, rule)
    absent = _absent(picture, finder, rule)
    return _number_questions(
        picture.image_id,
        (
            *_ask_which(picture, present, absent, rule),
            *_ask_presence(present, absent, rule),
            *_ask_counts(picture, present, rule),
            *_ask_sides(picture, present, rule),
        ),
    )


_Asked = tuple[str, str, str, tuple[str, ...], tuple[str, ...]]
"""Kind, question, answer, choices, categories."""


def _number_questions(image_id: str, asked: Iterable[_Asked]) -> tuple[Question, ...]:
    """Give the questions of a picture their ids."""
    numbers: dict[str, int] = {}
    questions = []
    for kind, question, answer, choices, categories in asked:
        numbers[kind] = numbers.get(kind, 0) + 1
        questions.append(
            Question(
                question_id=f"{image_id}-{kind}-{numbers[kind]}",
                image_id=image_id,
                kind=kind,
                question=question,
                answer=answer,
                choices=choices,
                categories=categories,
            )
        )
    return tuple(questions)


def _ask_which(
    picture: AnnotatedPicture, present: Sequence[str], absent: Sequence[str], rule: QuestionRule
) -> Iterable[_Asked]:
    """Ask which of some things is there, others absent.

    Yields:
        A question for each of the first present categories that can have enough absent ones beside it.
    """
    others = rule.num_choices - 1
    for number, category in enumerate(present[: rule.most_per_kind]):
        beside = absent[number * others : (number + 1) * others]
        if len(beside) < others:
            return
        shown = rank_ids((category, *beside), seed=rule.seed, purpose=f"choices:{picture.image_id}")
        listed = " or ".join((", ".join(map(with_article, shown[:-1])), with_article(shown[-1])))
        choices = tuple(map(spoken_name, shown))
        yield "which", f"Which is in the picture: {listed}?", spoken_name(category), choices, tuple(shown)


def _ask_presence(present: Sequence[str], absent: Sequence[str], rule: QuestionRule) -> Iterable[_Asked]:
    """Ask whether there is one, as often of what is there as of what is not.

    Yields:
        Questions answered "yes" and "no" by turns; the words of a pair do not show which.
    """
    last = absent[::-1]  # the first ones stand beside others in "which"
    for there, missing in zip(present[: rule.most_per_kind], last, strict=False):
        for category, answer in ((there, "yes"), (missing, "no")):
            yield "presence", f"{ask_presence(category)} in the picture?", answer, ("yes", "no"), (category,)


def _ask_counts(picture: AnnotatedPicture, present: Sequence[str], rule: QuestionRule) -> Iterable[_Asked]:
    """Ask how many there are where the annotations count well.

    Yields:
        Questions about small numbers of objects, none of them a crowd or tiny.
    """
    countable = []
    for category in present:
        listed = _listed(picture, category)
        is_few = len(listed) <= rule.largest_count and category not in COUNTED_LOOSELY
        if is_few and all(_is_visible(picture, one, rule) and not one.is_crowd for one in listed):
            countable.append((category, len(listed)))
    for category, count in countable[: rule.most_per_kind]:
        yield "count", f"How many {plural_name(category)} are in the picture?", str(count), (), (category,)


def _ask_sides(picture: AnnotatedPicture, present: Sequence[str], rule: QuestionRule) -> Iterable[_Asked]:
    """Ask what is left or right of what.

    Yields:
        Questions about pairs of single objects with a clear gap between their boxes; which of the two is asked about
        is drawn, so that "left" is right as often as "right".
    """
    single = [category for category in present if len(_listed(picture, category)) == 1]
    single = [category for category in single if not _listed(picture, category)[0].is_crowd]
    num_asked = 0
    for place, first in enumerate(single):
        for second in single[place + 1 :]:
            pair = rank_ids((first, second), seed=rule.seed, purpose=f"side:{picture.image_id}")
            box, other_box = (_listed(picture, category)[0].box for category in pair)
            side = _side(box, other_box, gap=rule.smallest_gap * picture.size_hw[1])
            if side and num_asked < rule.most_per_kind:
                num_asked += 1
                one, other = (f"the {spoken_name(category)}" for category in pair)
                asked = f"{be(pair[0]).capitalize()} {one} to the left or to the right of {other}?"
                yield "side", asked, side, ("left", "right"), tuple(pair)


def _side(box: Box, other: Box, *, gap: float) -> str:
    """Say on which side of another box one lies, with a gap between them; nothing where they are not apart."""
    if box[0] + box[2] + gap <= other[0]:
        return "left"
    return "right" if other[0] + other[2] + gap <= box[0] else ""


def _present(picture: AnnotatedPicture, key_categories: Sequence[str], rule: QuestionRule) -> list[str]:
    """List the categories that are there for everyone to see, key ones first, the others by size."""
    categories = sorted({instance.category for instance in picture.instances})
    shares = {one: area_share(_listed(picture, one), size_hw=picture.size_hw) for one in categories}
    seen = [category for category in categories if shares[category] >= rule.smallest_area_share]
    by_size = sorted(seen, key=lambda category: -shares[category])
    keys = [category for category in dict.fromkeys(key_categories) if category in seen]
    return [*keys, *(category for category in by_size if category not in keys)]


def _absent(picture: AnnotatedPicture, finder: MentionFinder, rule: QuestionRule) -> list[str]:
    """List the categories that are surely not there, in an order drawn for the picture."""
    there = {instance.category for instance in picture.instances}
    there |= {category for caption in picture.spoken for category in finder.read(caption)}
    there |= {other for group in LOOKALIKES if group & there for other in group}
    absent = (category for category in finder.categories if category not in there)
    return rank_ids(absent, seed=rule.seed, purpose=f"absent:{picture.image_id}")


def _listed(picture: AnnotatedPicture, category: str) -> list[Instance]:
    """List the objects of a category."""
    return [instance for instance in picture.instances if instance.category == category]


def _is_visible(picture: AnnotatedPicture, instance: Instance, rule: QuestionRule) -> bool:
    """Tell whether an object alone is large enough to ask about."""
    return area_share([instance], size_hw=picture.size_hw) >= rule.smallest_area_share
