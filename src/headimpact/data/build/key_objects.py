"""Decide which objects of a picture are its key objects, and say why.

Comes in: an `AnnotatedPicture` and a `KeyObjectRule`. Goes out: a `PictureDecision`, which `decision_line` (module
`decisions`) turns into a line of `decisions.jsonl`.

The rule. Every category that is annotated or named is a candidate with a score in [0, 1]:

    score = 0.4 named_share + 0.3 subject_share + 0.2 sqrt(area_share) + 0.1 centrality

1. No caption names it: it is no key object, whatever its size, and stands in nobody's way.
2. The others are ranked by score. One that is not annotated, a crowd, in too many instances, too small, too large, or
   spoken of as one while two are about as large, cannot be key, but keeps its place in the ranking: where the captions
   are about it, nothing else is key instead.
3. Key objects are the longest beginning of the ranking, at most two, in which all can be key, all reach the smallest
   score, and the last is ahead of the next candidate by the smallest lead. Together they must not be too large.

So two key objects are both kept, three equal ones are none, and a picture whose matter has no usable mask is left out.

What of a category is key: where most captions naming it speak of one ("a man") it is its largest object, and that must
be twice the size of the next, or nobody knows which is meant; where they speak of several it is all of them.

Known limits: what no category stands for (a plate, a wall) is not seen; "a man" may mean a smaller one of two.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from headimpact.core.errors import OptionError
from headimpact.data.build.decisions import KEY, PICTURE_REASONS, Decision, PictureDecision
from headimpact.data.build.evidence import (
    AnnotatedPicture,
    Crowds,
    Evidence,
    Instances,
    area_share,
    gather_evidence,
)
from headimpact.data.build.mentions import MentionFinder


@dataclass(frozen=True, kw_only=True)
class KeyObjectRule:
    """Options of the rule; the defaults are reasoned, not tuned.

    Attributes:
        named_weight: Weight of the share of captions that name the candidate. What people say decides (0.7 with the
            next), since a key object is what a caption should be about; the picture settles what they leave open.
        subject_weight: Weight of the share of captions with the candidate as subject. Below the former: which of two
            objects is the subject is often chance ("a man walks a dog", "a dog is walked by a man").
        size_weight: Weight of the square root of the area share: size is seen as a length.
        centrality_weight: Weight of the centrality. Below size: photographers centre, but not always.
        smallest_area_share: 0.02 is 5 image tokens of 256 (16 x 16), 12 of 576: less is lost in their grid.
        largest_area_share: At half the picture attention that is spread evenly hits the object as often as it misses.
        most_instances: Four can be seen without counting. Does not count where the largest alone is taken.
        smallest_size_ratio: Size of the largest object over the next, where captions speak of one. Twice the area can
            be seen at once.
        most_key_objects: Captions of one sentence join two ("a man and a dog"); a list of three is a scene.
        smallest_score: Half of what can be had: an object that all name in passing (0.4) must be large or central, one
            that is everybody's subject (0.7) need not.
        smallest_lead: Above what one more of five captions naming a candidate in passing changes (0.08).
        instances: "named": the largest instance of a category alone where most captions naming it speak of one, else
            all; "union": all, bystanders too; "single": the largest alone.
        crowds: "refuse": a candidate with a crowd cannot be key, since the outline of a crowd holds what lies between
            its members; "ignore": crowds are left out; "include": they count as instances.
    """

    named_weight: float = 0.4
    subject_weight: float = 0.3
    size_weight: float = 0.2
    centrality_weight: float = 0.1
    smallest_area_share: float = 0.02
    largest_area_share: float = 0.5
    most_instances: int = 4
    smallest_size_ratio: float = 2.0
    most_key_objects: int = 2
    smallest_score: float = 0.5
    smallest_lead: float = 0.1
    instances: Instances = "named"
    crowds: Crowds = "refuse"

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            OptionError: If weights are negative or do not add up to 1, a share is not in [0, 1], the smallest area is
                above the largest, a count is below 1, or a word is unknown.
        """
        weights = (self.named_weight, self.subject_weight, self.size_weight, self.centrality_weight)
        if min(weights) < 0 or not math.isclose(sum(weights), 1.0, abs_tol=1e-9):
            raise OptionError(f"Weights of the key-object rule: given {weights}; expected four from 0 up, sum 1.")
        shares = (self.smallest_area_share, self.largest_area_share, self.smallest_score, self.smallest_lead)
        if not all(0 <= share <= 1 for share in shares) or self.smallest_area_share > self.largest_area_share:
            raise OptionError(
                f"Limits of the key-object rule: area {shares[:2]}, score {shares[2]}, lead {shares[3]}; expected "
                "shares in [0, 1], the smallest area not above the largest."
            )
        if min(self.most_instances, self.most_key_objects) < 1:
            raise OptionError(
                f"Counts of the key-object rule: most_instances {self.most_instances}, most_key_objects "
                f"{self.most_key_objects}; expected at least 1."
            )
        if not self.smallest_size_ratio >= 1:
            raise OptionError(f"Size ratio of the key-object rule: {self.smallest_size_ratio}; expected at least 1.")
        if self.instances not in {"named", "union", "single"} or self.crowds not in {"refuse", "ignore", "include"}:
            raise OptionError(
                f"Words of the key-object rule: instances {self.instances!r}, crowds {self.crowds!r}; expected "
                "'named', 'union' or 'single', and 'refuse', 'ignore' or 'include'."
            )


def score_evidence(evidence: Evidence, rule: KeyObjectRule) -> float:
    """Give the weighted sum of the evidence, in [0, 1]. Higher is better.

    Source: our own; the weights' reasons are with `KeyObjectRule`.

    Example:
        >>> evidence = Evidence(category="dog", named_share=1.0, subject_share=0.5, area_share=0.25, centrality=0.8,
        ...                     num_instances=1, has_crowd=False, instance_ids=("1",))
        >>> round(score_evidence(evidence, KeyObjectRule()), 4)
        0.73
    """
    return (
        rule.named_weight * evidence.named_share
        + rule.subject_weight * evidence.subject_share
        + rule.size_weight * math.sqrt(evidence.area_share)
        + rule.centrality_weight * evidence.centrality
    )


def decide_picture(
    picture: AnnotatedPicture, finder: MentionFinder, *, rule: KeyObjectRule | None = None
) -> PictureDecision:
    """Decide which objects of a picture are its key objects.

    Args:
        picture: The picture.
        finder: Finds the mentions of the data set's categories.
        rule: Options; the defaults if left out.

    Returns:
        A decision for every candidate and for the picture.

    Example:
        >>> from headimpact.data.build.evidence import Instance
        >>> from headimpact.data.build.mentions import build_mention_finder
        >>> dog = Instance(instance_id="1", category="dog", box=(2, 2, 6, 6), area=30)
        >>> picture = AnnotatedPicture(image_id="7", size_hw=(10, 10), captions=("A dog.",), instances=(dog,))
        >>> decision = decide_picture(picture, build_mention_finder(["dog", "cat"]))
        >>> decision.reason, [found.category for found in decision.key_objects]
        ('kept', ['dog'])
    """
    rule = rule or KeyObjectRule()
    found = gather_evidence(picture, finder, instances=rule.instances, crowds=rule.crowds)
    scored = [(score_evidence(evidence, rule), evidence) for evidence in found]
    ranking = sorted((one for one in scored if one[1].named_share), key=lambda one: (-one[0], one[1].category))
    silent = sorted((one for one in scored if not one[1].named_share), key=lambda one: (-one[0], one[1].category))
    reasons = _rank_reasons(ranking, rule)
    united = _united_share(picture, [one[1] for one, reason in zip(ranking, reasons, strict=True) if reason == KEY])
    if united > rule.largest_area_share:
        reasons = ["covers_too_much" if reason == KEY else reason for reason in reasons]
    candidates = [
        Decision(is_key=reason == KEY, reason=reason, score=score, evidence=evidence)
        for (score, evidence), reason in zip((*ranking, *silent), (*reasons, *["not_named"] * len(silent)), strict=True)
    ]
    return PictureDecision(
        image_id=picture.image_id,
        reason=_picture_reason(picture, candidates, rule),
        num_captions=len(picture.spoken),
        candidates=tuple(candidates),
    )


def _rank_reasons(ranking: Sequence[tuple[float, Evidence]], rule: KeyObjectRule) -> list[str]:
    """Give the reason of each ranked candidate."""
    hindrances = [_hindrance(evidence, rule) for _, evidence in ranking]
    reasons = [
        hindrance or ("" if _reaches(score, rule.smallest_score) else "low_score")
        for (score, _), hindrance in zip(ranking, hindrances, strict=True)
    ]
    in_front = next((place for place, reason in enumerate(reasons) if reason), len(reasons))
    num_key = _count_key([score for score, _ in ranking], in_front, rule)
    for place, reason in enumerate(reasons):
        if place < num_key:
            reasons[place] = KEY
        elif not reason:
            is_close = place < in_front and (num_key == 0 or place < rule.most_key_objects)
            reasons[place] = "no_lead" if is_close else "outranked"
    return reasons


def _count_key(scores: Sequence[float], in_front: int, rule: KeyObjectRule) -> int:
    """Count the key objects: the longest allowed beginning of the ranking that is clear of the next candidate."""
    for count in range(min(in_front, rule.most_key_objects), 0, -1):
        if count == len(scores) or _reaches(scores[count - 1] - scores[count], rule.smallest_lead):
            return count
    return 0


def _hindrance(evidence: Evidence, rule: KeyObjectRule) -> str:
    """Say why a candidate cannot be key, whatever its score; nothing where it can."""
    if evidence.has_crowd and (rule.crowds == "refuse" or not evidence.instance_ids):
        return "crowd"
    if not evidence.instance_ids:
        return "not_annotated"
    if len(evidence.instance_ids) > rule.most_instances:
        return "too_many_instances"
    if evidence.area_share < rule.smallest_size_ratio * evidence.next_area_share:
        return "unclear_which"
    if evidence.area_share < rule.smallest_area_share:
        return "too_small"
    return "covers_too_much" if evidence.area_share > rule.largest_area_share else ""


def _united_share(picture: AnnotatedPicture, key_objects: Sequence[Evidence]) -> float:
    """Give the share of the picture that all key objects cover together."""
    if len(key_objects) == 1:
        return key_objects[0].area_share
    chosen = {(evidence.category, instance_id) for evidence in key_objects for instance_id in evidence.instance_ids}
    instances = [instance for instance in picture.instances if (instance.category, instance.instance_id) in chosen]
    return area_share(instances, size_hw=picture.size_hw)


def _picture_reason(picture: AnnotatedPicture, candidates: Sequence[Decision], rule: KeyObjectRule) -> str:
    """Give the reason of a picture from those of its candidates, the first of which leads."""
    if not picture.spoken:
        return "no_caption"
    if not picture.instances:
        return "no_annotation"
    if any(decision.is_key for decision in candidates):
        return "kept"
    leading = candidates[0]
    if not leading.evidence.named_share:
        return "no_object_named"
    is_matter = _reaches(leading.score, rule.smallest_score)
    return leading.reason if is_matter and leading.reason in PICTURE_REASONS else "no_clear_key_object"


def _reaches(value: float, limit: float) -> bool:
    """Tell whether a sum of decimals reaches a limit, rounding errors apart."""
    return value >= limit - 1e-9
