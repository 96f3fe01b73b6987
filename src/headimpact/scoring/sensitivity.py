"""How far a ranking moves with the choices that a method leaves open: an agreement matrix, and its file."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from headimpact.core.artifacts import read_json, write_json
from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import HeadValues
from headimpact.scoring.aggregation import aggregate_layers
from headimpact.scoring.rank_agreement import spearman, top_overlap

SCHEMA = "sensitivity/1"
SENSITIVITY_FILE = "sensitivity.json"

Matrix = Float[np.ndarray, "variants variants"]


@dataclasses.dataclass(frozen=True, eq=False)
class Sensitivity:
    """Rankings of heads and layers under variants, the first of which is the default.

    Attributes:
        names: The variants, as `option=value`.
        heads: Spearman's correlation of the heads' scores of every two variants; NaN where it has none.
        layers: The same over layers.
        overlap: Share of the k layers of highest score that every two variants have in common.
        layer_values: Score of every layer; NaN where it has none.
        k: Number of layers that are chosen.
        images: Pictures, the same for all variants.
        options: What was asked for.
    """

    names: tuple[str, ...]
    heads: Matrix
    layers: Matrix
    overlap: Matrix
    layer_values: Float[np.ndarray, "variants layers"]
    k: int
    images: int
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `sensitivity.json`.

        Args:
            folder: Run folder.

        Raises:
            RunFailedError: If the file system refuses.
        """
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {name: _rows(value) if isinstance(value, np.ndarray) else value for name, value in content.items()}
        write_json(folder / SENSITIVITY_FILE, plain, schema=SCHEMA)

    @classmethod
    def read(cls, folder: Path) -> "Sensitivity":
        """Read `sensitivity.json`.

        Args:
            folder: Run folder.

        Returns:
            What `write` wrote.

        Raises:
            DataFormatError: If the file is missing or broken.
        """
        content = read_json(folder / SENSITIVITY_FILE, schema=SCHEMA)
        try:
            return cls(
                names=tuple(content["names"]),
                heads=_matrix(content["heads"]),
                layers=_matrix(content["layers"]),
                overlap=_matrix(content["overlap"]),
                layer_values=_matrix(content["layer_values"]),
                k=content["k"],
                images=content["images"],
                options=content["options"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataFormatError(
                f"Broken file {folder / SENSITIVITY_FILE}: {error!r}. Expected a {SCHEMA} file; measure again."
            ) from error


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """Scores under one variant.

    Attributes:
        heads: Mean score of every head over pictures; NaN where it has none.
        layer_rule: How heads are put together to layers.
    """

    heads: HeadValues
    layer_rule: str = "mean"


def compare_variants(
    variants: Mapping[str, Variant], *, k: int, images: int, options: Mapping[str, Any] | None = None
) -> Sensitivity:
    """Hold every ranking against every other.

    Args:
        variants: Scores of the same heads on the same pictures, the default first.
        k: Number of layers that are chosen, at most the layers there are.
        images: Pictures behind the scores.
        options: What was asked for, kept beside the numbers.

    Returns:
        The agreement of every two. A variant of how layers are put together has the default's heads.

    Raises:
        OptionError: If a rule for layers is unknown.
    """
    heads = [variant.heads.ravel().astype(np.float64) for variant in variants.values()]
    layers = [
        aggregate_layers(variant.heads.astype(np.float64), rule=variant.layer_rule) for variant in variants.values()
    ]
    return Sensitivity(
        names=tuple(variants),
        heads=np.array([[spearman(one, other) for other in heads] for one in heads]),
        layers=np.array([[spearman(one, other) for other in layers] for one in layers]),
        overlap=np.array([[top_overlap(one, other, k=k) for other in layers] for one in layers]),
        layer_values=np.stack(layers),
        k=k,
        images=images,
        options=options or {},
    )


def _rows(matrix: np.ndarray) -> list[list[float | None]]:
    """Write a matrix as JSON values, NaN as null."""
    return [[None if math.isnan(value) else float(value) for value in row] for row in matrix]


def _matrix(rows: list[list[float | None]]) -> np.ndarray:
    """Read a matrix, null as NaN."""
    return np.array([[math.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
