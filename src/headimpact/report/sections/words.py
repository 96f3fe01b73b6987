"""Scores over the rows of words of each kind -> do heads look at the object where it is named, and only there?"""

import numpy as np

from headimpact.data.word_kinds import KINDS
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
}


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
    findings = (
        f"Head {place[1]} of layer {place[0]}, the best over all rows, has a {name} of {wording.joined(values)}. "
        "What it has over function words, it looks at whatever is being said.",
    )
    head = (
        "Rows of",
        f"{wording.heading(scores.score)}, that head",
        "Chance",
        "Gap",
        "z",
        "q",
        "All heads, mean",
        "Beyond chance",
    )
    rows = (
        Row("all words", _cells(scores, place)),
        *(Row(SAID[kind], _cells(part, place)) for kind, part in parts.items()),
    )
    return Section(TITLE, findings, (), (Table("Rows of the response apart, by kind of word", head, rows),))


def _cells(part: HeadScores, place: tuple[int, int]) -> tuple[Cell, ...]:
    """Write one kind of word."""
    numbers = {name: float(array[place]) for name, array in part.values.items()}
    own, q = part.values[part.score], part.values["q"]
    mean = float(np.nanmean(own)) if np.isfinite(own).any() else float("nan")
    return (
        *number_cells(part.score, numbers),
        Cell(wording.number(mean, digits=3)),
        Cell(f"{int(beyond_chance(q).sum())} of {q.size}"),
    )
