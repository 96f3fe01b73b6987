"""Scores over the rows of words of each kind -> do heads look at the object where it is named, and only there?"""

import numpy as np

from headimpact.data.word_kinds import KINDS, OBJECT_KINDS
from headimpact.report import wording
from headimpact.report.page import Cell, Row, Section, Table
from headimpact.report.ranking import beyond_chance, rank_heads
from headimpact.report.sections.baselines import number_cells
from headimpact.scoring.head_scores import HeadScores

TITLE = "Is it the words?"

SAID = {
    "key_words": "words that name the key object",
    "other_nouns": "other nouns",
    "function_words": "function words (negative control)",
    "own_object": "a name of one of several key objects, against its own mask",
    "other_objects": "the same words, against the other key objects' masks",
}

NO_NAMES = (
    "No word is held against the mask of the one object that it names: that takes pictures with several key objects, "
    "each with a mask and a name of its own, and responses that name them."
)


def word_section(scores: HeadScores) -> Section | None:
    """Describe a run whose rows were scored apart by the kind of word; None for others.

    Args:
        scores: The run's own score, the others in it.
    """
    parts = {
        kind: scores.others[f"{scores.score}_{kind}"] for kind in KINDS if f"{scores.score}_{kind}" in scores.others
    }
    best, _ = rank_heads(scores.values[scores.score], count=1)
    if not parts or not best:
        return None
    place = best[0]
    name = wording.metric_name(scores.score)
    values = [
        f"{wording.number(float(part.values[part.score][place]))} over {SAID[kind]}" for kind, part in parts.items()
    ]
    findings: tuple[str, ...] = (
        f"Head {place[1]} of layer {place[0]}, the best over all rows, has a {name} of {wording.joined(values)}. "
        "What it has over function words, it looks at whatever is being said.",
    )
    findings = (*findings, *_by_object(scores, place))
    head = ("Rows of", "Pictures", "That head", "Chance", "Gap", "q", "All heads, mean")
    rows = (
        Row("all words", _cells(scores, place)),
        *(Row(SAID[kind], _cells(part, place)) for kind, part in (parts | _object_parts(scores)).items()),
    )
    return Section(TITLE, findings, (), (Table("Rows of the response apart, by kind of word", head, rows),))


def _object_parts(scores: HeadScores) -> dict[str, HeadScores]:
    """Give the scores of words that name one of several key objects; none where no picture has any."""
    names = {kind: f"{scores.score}_{kind}" for kind in OBJECT_KINDS}
    parts = {kind: scores.others[name] for kind, name in names.items() if name in scores.others}
    return {kind: part for kind, part in parts.items() if np.isfinite(part.values[part.score]).any()}


def _by_object(scores: HeadScores, place: tuple[int, int]) -> tuple[str, ...]:
    """Say whether a word that names one of several key objects looks at that one."""
    parts = _object_parts(scores)
    if len(parts) < len(OBJECT_KINDS):
        return (NO_NAMES,) if f"{scores.score}_{OBJECT_KINDS[0]}" in scores.others else ()
    own, other = (wording.number(float(parts[kind].values[parts[kind].score][place])) for kind in OBJECT_KINDS)
    return (
        f"Where a word names one of several key objects (in {_pictures(parts[OBJECT_KINDS[0]])} pictures), that head "
        f"has {own} against the named object and {other} against the others of the same picture.",
    )


def _cells(part: HeadScores, place: tuple[int, int]) -> tuple[Cell, ...]:
    """Write one kind of word."""
    numbers = {name: float(array[place]) for name, array in part.values.items()}
    own, q = part.values[part.score], part.values["q"]
    mean = float(np.nanmean(own)) if np.isfinite(own).any() else float("nan")
    value, chance, gap, _, q_value = number_cells(part.score, numbers)
    return (
        Cell(_pictures(part)),
        *(value, chance, gap, q_value),
        Cell(wording.number(mean, digits=3), f"{int(beyond_chance(q).sum())} of {q.size} beyond chance"),
    )


def _pictures(part: HeadScores) -> str:
    """Say on how many of the pictures a score rests."""
    known = part.counts.get("with_score")
    return wording.MISSING if known is None else f"{known} of {part.counts['used']}"
