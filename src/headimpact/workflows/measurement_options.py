"""How attention becomes a number: every choice that the method leaves open, checked before a model loads."""

import dataclasses
from typing import Literal

from headimpact.core.errors import OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.data.word_kinds import OBJECT_KINDS
from headimpact.models.image_tokens import VIEWS
from headimpact.scoring import BY_PEAKS, WITHOUT_SINKS
from headimpact.scoring.head_impact import RULES

ROW_CONVENTIONS = ("predicting", "at")
ROW_REDUCTIONS = ("mean", "max")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasurementOptions:
    """How attention becomes a number; every choice that the method leaves open.

    Attributes:
        scores: Names of the scores to compute, as in `SCORES`, or those followed by `WITHOUT_SINKS` or a kind of word.
        words: Whether the rows of words of each kind are captured apart.
        sinks: Whether a map that looks at the sinks alone is scored among those that need no model.
        binarization: Rule that turns attention into a predicted region.
        k: Factor of the rule `mean`.
        quantile: Quantile of the rule `quantile`.
        rows: Whether the row that predicts a response token speaks for it, or the row at it.
        row_reduction: How rows are put together.
        view: Which tokens count where a picture enters whole and in tiles.
    """

    scores: tuple[str, ...] = ("head_impact",)
    sinks: bool = False
    words: bool = False
    binarization: str = "area"
    k: float = 1.0
    quantile: float = 0.8
    rows: str = "predicting"
    row_reduction: Literal["mean", "max"] = "mean"
    view: str = "all"

    @property
    def with_peaks(self) -> bool:
        """Say whether a score needs to know where each row's highest weight is."""
        return any(name.removesuffix(WITHOUT_SINKS) in BY_PEAKS for name in self.scores)

    @property
    def by_object(self) -> tuple[str, ...]:
        """List the scores that words which name one of several key objects are held against each object by."""
        own = f"_{OBJECT_KINDS[0]}"
        return tuple(name.removesuffix(own) for name in self.scores if name.endswith(own))

    def __post_init__(self) -> None:
        """Refuse unknown names and numbers out of range before a model loads.

        Raises:
            OptionError: If a name is none of those known, or a number is out of range.
        """
        for kind, value, known in (
            ("binarization", self.binarization, RULES),
            ("rows", self.rows, ROW_CONVENTIONS),
            ("row-reduction", self.row_reduction, ROW_REDUCTIONS),
            ("view", self.view, VIEWS),
        ):
            if value not in known:
                raise OptionError(unknown_name_message(f"--{kind}", value, known))
        if not self.k > 0:
            raise OptionError(f"--binarization-k is {self.k}; expected a number above 0, such as 1.0.")
        if not 0 < self.quantile < 1:
            raise OptionError(f"--binarization-quantile is {self.quantile}; expected a number in (0, 1), such as 0.8.")
