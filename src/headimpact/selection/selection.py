"""Selection: the chosen layers or heads, how they were chosen and from which scores; read and written as JSON."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.artifacts import read_json, write_json
from headimpact.core.errors import DataFormatError, HeadImpactError, OptionError
from headimpact.core.head_parts import Head, check_heads, count_head_lora_parameters, heads_by_layer
from headimpact.core.lora_arithmetic import TrainableCount, check_lora_targets, count_lora_parameters

SCHEMA = "selection/1"
SELECTION_FILE = "selection.json"
"""Name of the file in a run folder."""
DEFAULT_TARGETS = ("q_proj", "v_proj")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Layers of one model's language part, or single heads of them, that are to be tuned.

    Attributes:
        strategy: How they were chosen, as in `STRATEGIES`; `given` for layers named by hand; of an
            experiment's arm its name.
        layers: The layers, 0-based, ascending.
        architecture: The model's language part.
        heads: Layer and query head of each chosen head, ascending, all of them in `layers`; None where whole layers
            are tuned.
        k: Number of layers, or of heads, that was asked for or followed from the budget; as many as were chosen if
            left out.
        seed: Seed of the random strategies.
        draw: Which draw of that seed.
        score: Name of the score they were chosen by; None where none was needed.
        scores_hash: Hash of the score file they were chosen from.
        layer_values: Score of each chosen layer, in the order of `layers`.
        excluded_layers: Layers without a score, which could not be chosen.
        budget: Parameter budget as given; None where k was.
        r: LoRA rank that the budget is counted with.
        target_modules: Projections that the budget is counted with.
        scored_image_hashes: Pictures the scores come from, so that tests on them can be refused.
        notes: What was done otherwise than asked, in sentences.
    """

    strategy: str
    layers: tuple[int, ...]
    architecture: ArchitectureSummary
    heads: tuple[Head, ...] | None = None
    k: int | None = None
    seed: int = 0
    draw: int = 0
    score: str | None = None
    scores_hash: str | None = None
    layer_values: tuple[float, ...] = ()
    excluded_layers: tuple[int, ...] = ()
    budget: str | None = None
    r: int = 8
    target_modules: tuple[str, ...] = DEFAULT_TARGETS
    scored_image_hashes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Fill in k and check that the model has what is chosen.

        Raises:
            OptionError: If layers or heads are missing, repeated, out of order or outside the model, heads are not of
                the layers, a projection cannot be held to heads, or r is below 1.
            UnknownNameError: If the model has no such projection.
            UnsupportedModelError: If a projection does not divide into heads.
        """
        check_lora_targets(self.architecture, self.layers, r=self.r, target_modules=self.target_modules)
        if list(self.layers) != sorted(self.layers):
            raise OptionError(f"Layers out of order: {self.layers}; expected ascending. Sort them.")
        if self.heads is not None:
            check_heads(self.architecture, self.heads)
            if tuple(heads_by_layer(self.heads)) != self.layers:
                raise OptionError(
                    f"Heads are of layers {list(heads_by_layer(self.heads))}, the selection says {list(self.layers)}; "
                    "expected the same layers. Name the layers of the heads."
                )
            self.count_parameters()
        if self.k is None:
            object.__setattr__(self, "k", len(self.layers if self.heads is None else self.heads))

    def target_module_names(self) -> tuple[str, ...]:
        """List the full dotted names of the projections to adapt, layer by layer.

        Returns:
            Names as in `model.named_modules()`; never one of the vision tower.
        """
        return tuple(
            self.architecture.module_name(layer_idx, name) for layer_idx in self.layers for name in self.target_modules
        )

    def count_parameters(self) -> TrainableCount:
        """Count what LoRA of rank `r` on the chosen projections trains, beside the whole model.

        Where heads are chosen, only their entries count.
        """
        if self.heads is not None:
            return count_head_lora_parameters(
                self.architecture, self.heads, r=self.r, target_modules=self.target_modules
            )
        return count_lora_parameters(self.architecture, self.layers, r=self.r, target_modules=self.target_modules)

    def trainable_parameters(self) -> int:
        """Count what LoRA trains: r (inputs + outputs) per projection of a whole layer."""
        return self.count_parameters().trainable

    def trainable_share(self) -> float:
        """Give trained parameters as a share of the model's, in [0, 1]."""
        return self.count_parameters().share

    def to_json(self) -> dict[str, Any]:
        """Give JSON-serialisable values, with the counts that follow from them."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        content = {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}
        if self.heads is None:
            del content["heads"]  # as such files always were
        content["layer_values"] = [None if math.isnan(value) else value for value in self.layer_values]
        return {
            **content,
            "architecture": self.architecture.to_json(),
            "trainable_parameters": self.trainable_parameters(),
            "trainable_share": self.trainable_share(),
            "target_module_names": list(self.target_module_names()),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Selection":
        """Rebuild a selection from `to_json`'s output; what follows from the rest is counted anew.

        Args:
            content: A mapping with at least strategy, layers and architecture.

        Returns:
            The selection.

        Raises:
            DataFormatError: If a field is missing or unknown, or the values do not fit together.
        """
        derived = {"trainable_parameters", "trainable_share", "target_module_names"}
        kept = {name: value for name, value in content.items() if name not in derived}
        try:
            kept = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
            if kept.get("heads") is not None:
                kept["heads"] = tuple((int(layer_idx), int(head_idx)) for layer_idx, head_idx in kept["heads"])
            if "layer_values" in kept:
                kept["layer_values"] = tuple(math.nan if one is None else float(one) for one in kept["layer_values"])
            return cls(**{**kept, "architecture": ArchitectureSummary.from_json(kept["architecture"])})
        except (KeyError, TypeError, ValueError, AttributeError, HeadImpactError) as error:
            known = ", ".join(field.name for field in dataclasses.fields(cls))
            raise DataFormatError(f"Broken selection: {error}. Expected the fields {known}; select again.") from error

    def write(self, path: Path) -> None:
        """Write `selection.json`.

        Args:
            path: The file.

        Raises:
            RunFailedError: If the file system refuses.
        """
        write_json(path, self.to_json(), schema=SCHEMA)

    @classmethod
    def read(cls, path: Path) -> "Selection":
        """Read `selection.json`.

        Args:
            path: The file.

        Returns:
            The selection.

        Raises:
            DataFormatError: If the file is missing or broken.
        """
        content = read_json(path, schema=SCHEMA)
        try:
            return cls.from_json(content)
        except DataFormatError as error:
            raise DataFormatError(f"Cannot use {path}: {error}") from error
