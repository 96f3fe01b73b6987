"""Predictions -> what a few arms say about the first test pictures."""

from collections.abc import Sequence

from headimpact.evaluation.results import Prediction
from headimpact.report.page import Quote
from headimpact.report.run_files import RunFiles
from headimpact.report.sections.comparison import BASE, TOP

PICTURES_QUOTED = 5
ARMS_QUOTED = (BASE, TOP, "random")


def quotes(runs: Sequence[RunFiles]) -> tuple[Quote, ...]:
    """Quote the first pictures of the evaluated runs, in the order of the file, not picked.

    Args:
        runs: All runs of the report.

    Returns:
        One quote per picture that every quoted run has; none where no run has predictions.
    """
    said = _first_of_each_arm(runs)
    if not said:
        return ()
    by_arm = {arm: {one.key: one for one in predictions} for arm, predictions in said.items()}
    first = next(iter(said.values()))
    shared = [one for one in first if all(one.key in found for found in by_arm.values())]
    return tuple(
        Quote(
            image_id=one.image_id if one.question is None else f"{one.image_id}, {one.question}",
            reference=one.references[0],
            answers=tuple((arm, found[one.key].prediction) for arm, found in by_arm.items()),
        )
        for one in shared[:PICTURES_QUOTED]
    )


def _first_of_each_arm(runs: Sequence[RunFiles]) -> dict[str, tuple[Prediction, ...]]:
    """Find one run of each quoted arm; the first run of any arm where none of those is there."""
    found: dict[str, tuple[Prediction, ...]] = {}
    for run in runs:
        if run.metrics is not None and run.predictions:
            found.setdefault(str(run.metrics["arm"].get("strategy", run.name)), run.predictions)
    quoted = {arm: found[arm] for arm in ARMS_QUOTED if arm in found}
    return quoted or dict(list(found.items())[:1])
