"""What became of the candidates of a picture, and the line of `decisions.jsonl` that says so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headimpact.data.build.evidence import Evidence

KEY = "key"
REASONS: Mapping[str, str] = {
    KEY: "is a key object",
    "not_named": "no caption names it",
    "not_annotated": "it is named but not annotated",
    "crowd": "it is annotated as a crowd",
    "too_many_instances": "it has too many instances",
    "unclear_which": "captions speak of one, and two are about as large",
    "too_small": "it covers too little",
    "covers_too_much": "it covers too much",
    "low_score": "its score is too low",
    "no_lead": "the next candidate is too close",
    "outranked": "candidates before it are kept alone or cannot be used",
}
"""Reason for a candidate to what it means."""

PICTURE_REASONS: Mapping[str, str] = {
    "kept": "has key objects",
    "no_caption": "has no caption",
    "no_annotation": "has no annotated object",
    "no_object_named": "no caption names a category of the data set",
    "no_clear_key_object": "no candidate scores high enough and is clear of the next",
    "not_annotated": "its captions are about an object that is not annotated",
    "crowd": "its captions are about a crowd",
    "too_many_instances": "its captions are about a category with too many instances",
    "unclear_which": "its captions speak of one object of which there are two about as large",
    "too_small": "its captions are about an object that covers too little",
    "covers_too_much": "its key objects cover too much",
}
"""Reason for a picture to what it means."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What became of one candidate.

    Attributes:
        is_key: Whether it is a key object.
        reason: One of `REASONS`.
        score: Weighted sum of the evidence, in [0, 1].
        evidence: What speaks for it.
    """

    is_key: bool
    reason: str
    score: float
    evidence: Evidence


@dataclass(frozen=True, kw_only=True)
class PictureDecision:
    """What became of one picture.

    Attributes:
        image_id: Identifier.
        reason: One of `PICTURE_REASONS`; "kept" if there is a key object.
        num_captions: Captions that were read.
        candidates: Named ones by falling score, then those that no caption names.
    """

    image_id: str
    reason: str
    num_captions: int
    candidates: tuple[Decision, ...]

    @property
    def key_objects(self) -> tuple[Evidence, ...]:
        """Evidence of the key objects, the best first."""
        return tuple(decision.evidence for decision in self.candidates if decision.is_key)


def decision_record(decision: PictureDecision) -> dict[str, Any]:
    """Give a picture's decision as plain values, shares rounded to four places.

    Args:
        decision: What became of a picture.

    Returns:
        `image_id`, `reason`, `says` (a sentence), `key_objects`, `num_captions`, and under `candidates` each one's
        decision, evidence and sentence.
    """
    return {
        "image_id": decision.image_id,
        "reason": decision.reason,
        "says": explain_picture(decision),
        "key_objects": [evidence.category for evidence in decision.key_objects],
        "num_captions": decision.num_captions,
        "candidates": [
            {
                "category": one.evidence.category,
                "is_key": one.is_key,
                "reason": one.reason,
                "says": explain_candidate(one, num_captions=decision.num_captions),
                "score": round(one.score, 4),
                **{name: _plain(value) for name, value in vars(one.evidence).items() if name != "category"},
            }
            for one in decision.candidates
        ],
    }


def decision_line(decision: PictureDecision) -> str:
    """Write a picture's decision as one line of JSON, without the line break."""
    return json.dumps(decision_record(decision), ensure_ascii=False)


def explain_picture(decision: PictureDecision) -> str:
    """Say in a sentence what became of a picture."""
    if decision.reason == "kept":
        return f"Kept; key: {', '.join(evidence.category for evidence in decision.key_objects)}."
    return f"Left out: {PICTURE_REASONS[decision.reason]}."


def explain_candidate(decision: Decision, *, num_captions: int) -> str:
    """Say in a sentence what became of a candidate and what speaks for it.

    Args:
        decision: What became of it.
        num_captions: Captions of the picture.

    Example:
        >>> evidence = Evidence(category="dog", named_share=1.0, subject_share=0.5, area_share=0.25, centrality=0.8,
        ...                     num_instances=2, has_crowd=False, instance_ids=("1", "2"))
        >>> explain_candidate(Decision(is_key=True, reason="key", score=0.73, evidence=evidence), num_captions=4)
        'dog is a key object: named by 4 of 4, subject of 2; 2 instances, area 0.25, centrality 0.80, score 0.73'
    """
    evidence = decision.evidence
    verdict = "is a key object" if decision.is_key else f"is left out, {REASONS[decision.reason]}"
    named, subject = (round(share * num_captions) for share in (evidence.named_share, evidence.subject_share))
    instances = "1 instance" if evidence.num_instances == 1 else f"{evidence.num_instances} instances"
    if len(evidence.instance_ids) == 1 < evidence.num_instances:
        instances = f"the largest of {instances}"
    return (
        f"{evidence.category} {verdict}: named by {named} of {num_captions}, subject of {subject}; {instances}"
        f"{' with a crowd' if evidence.has_crowd else ''}, area {evidence.area_share:.2f}, centrality "
        f"{evidence.centrality:.2f}, score {decision.score:.2f}"
    )


def _plain(value: object) -> object:
    """Round a number, and give a tuple as a list."""
    if isinstance(value, float):
        return round(value, 4)
    return list(value) if isinstance(value, tuple) else value
