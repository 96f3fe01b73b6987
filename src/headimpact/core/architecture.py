"""What later stages must know of a model's language part, so that they need no model to know it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from headimpact.core.errors import DataFormatError


@dataclasses.dataclass(frozen=True)
class ArchitectureSummary:
    """Sizes and module names of a model's language part.

    Written into `head_scores.json`, so that choosing layers, filling a budget and exporting a config
    work on a machine that has neither the model nor torch.

    Attributes:
        model_type: Hugging Face `model_type` of the whole model.
        num_layers: Decoder layers of the language model.
        num_heads: Query heads per layer.
        num_key_value_heads: Key/value heads per layer (grouped-query attention).
        head_dim: Width of one head.
        hidden_size: Width of the residual stream.
        projections: Attention projection name (`q_proj`) to its (inputs, outputs), in most layers.
        attention_path: Full dotted name of a layer's attention module with `{layer_idx}` for the layer.
        total_parameters: Parameters of the whole model.
        attention_layers: Layers whose heads attend to the image, ascending; all of them where left empty. Others
            have no score and cannot be chosen.
        other_projections: As `projections`, for each layer where they differ: wider heads, or no keys of its own.
    """

    model_type: str
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    hidden_size: int
    projections: Mapping[str, tuple[int, int]]
    attention_path: str
    total_parameters: int
    attention_layers: tuple[int, ...] = ()
    other_projections: Mapping[int, Mapping[str, tuple[int, int]]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Name every layer where none is named."""
        object.__setattr__(self, "attention_layers", self.attention_layers or tuple(range(self.num_layers)))

    def projections_of(self, layer_idx: int) -> Mapping[str, tuple[int, int]]:
        """Give one layer's projections with their (inputs, outputs).

        Args:
            layer_idx: Layer of the language model, 0-based.
        """
        return self.other_projections.get(layer_idx, self.projections)

    def module_name(self, layer_idx: int, projection: str) -> str:
        """Give the full dotted name of one projection of one layer.

        Args:
            layer_idx: Layer of the language model, 0-based.
            projection: One of the layer's.

        Returns:
            A name as in `model.named_modules()`.

        Raises:
            KeyError: If the layer has no such projection.
        """
        if projection not in self.projections_of(layer_idx):
            raise KeyError(projection)
        return f"{self.attention_path.format(layer_idx=layer_idx)}.{projection}"

    def to_json(self) -> dict[str, Any]:
        """Give JSON-serialisable values."""
        content = dataclasses.asdict(self)
        content["projections"] = _shapes_to_json(self.projections)
        content["other_projections"] = {
            str(layer_idx): _shapes_to_json(shapes) for layer_idx, shapes in self.other_projections.items()
        }
        content["attention_layers"] = list(self.attention_layers)
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild a summary from `to_json`'s output.

        Raises:
            DataFormatError: If a field is missing, unknown, or of the wrong kind.
        """
        try:
            projections = _shapes_from_json(content["projections"])
            layers = tuple(int(layer_idx) for layer_idx in content.get("attention_layers", ()))
            others = {int(idx): _shapes_from_json(own) for idx, own in content.get("other_projections", {}).items()}
            changed = {"projections": projections, "attention_layers": layers, "other_projections": others}
            return cls(**{**content, **changed})
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise DataFormatError(
                f"Broken architecture block: {error!r}. Expected the fields {', '.join(_field_names(cls))}; "
                "score the model again with this version."
            ) from error


def _shapes_to_json(projections: Mapping[str, tuple[int, int]]) -> dict[str, list[int]]:
    """Give shapes as JSON-serialisable values."""
    return {name: list(shape) for name, shape in projections.items()}


def _shapes_from_json(projections: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Rebuild shapes from `_shapes_to_json`'s output."""
    return {str(name): (int(shape[0]), int(shape[1])) for name, shape in projections.items()}


def _field_names(cls: type) -> list[str]:
    """List the fields of a dataclass."""
    return [field.name for field in dataclasses.fields(cls)]
