"""What a model made of a data set: which masks and captions, and how, so that nobody takes them for people's work."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from headimpact.core.errors import DataFormatError

Box = tuple[float, float, float, float]
"""Corners (x0, y0, x1, y1) in pixels of the upright picture."""


@dataclass(frozen=True, kw_only=True)
class MaskOrigin:
    """How models made a mask.

    Attributes:
        models: Names of the models, each with its revision behind an `@` where it has one.
        phrase: What was looked for.
        box: Where it was found.
        box_confidence: The detector's confidence, in [0, 1].
        mask_confidence: The segmenter's, in [0, 1]; None where one model gives one number for box and mask together.
    """

    models: tuple[str, ...]
    phrase: str
    box: Box
    box_confidence: float
    mask_confidence: float | None = None

    def as_record(self) -> dict[str, Any]:
        """Give the origin as plain values for JSON."""
        return {**asdict(self), "models": list(self.models), "box": list(self.box)}

    @staticmethod
    def from_record(record: object) -> "MaskOrigin":
        """Read the origin from plain values.

        Raises:
            DataFormatError: If a field is missing, unknown or of another kind.
        """
        fields = _fields(record, "mask_origin", MaskOrigin)
        models, box, confidence = fields["models"], fields["box"], fields.get("mask_confidence")
        numbers = [*(box if isinstance(box, list) else ["no list"]), fields["box_confidence"], confidence or 0.0]
        if not (
            _is_list_of(models, str)
            and isinstance(fields["phrase"], str)
            and _is_list_of(numbers, (int, float))
            and len(numbers) == 6
        ):
            raise DataFormatError(f"Field 'mask_origin' is {record!r}, expected models, phrase, box and confidences.")
        return MaskOrigin(
            models=tuple(models),
            phrase=fields["phrase"],
            box=(float(box[0]), float(box[1]), float(box[2]), float(box[3])),
            box_confidence=float(fields["box_confidence"]),
            mask_confidence=None if confidence is None else float(confidence),
        )


@dataclass(frozen=True, kw_only=True)
class CaptionOrigin:
    """How a model made a picture's caption.

    Attributes:
        model: Name of the model, with its revision behind an `@` where it has one.
        prompt: What it was asked.
        is_complete: Whether it ended the caption itself; otherwise the caption was cut.
    """

    model: str
    prompt: str
    is_complete: bool

    def as_record(self) -> dict[str, Any]:
        """Give the origin as plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_record(record: object) -> "CaptionOrigin":
        """Read the origin from plain values.

        Raises:
            DataFormatError: If a field is missing, unknown or of another kind.
        """
        fields = _fields(record, "caption_origin", CaptionOrigin)
        kinds = {"model": str, "prompt": str, "is_complete": bool}
        if not all(isinstance(fields[name], kind) for name, kind in kinds.items()):
            raise DataFormatError(f"Field 'caption_origin' is {record!r}, expected model, prompt and is_complete.")
        return CaptionOrigin(**fields)


def name_model(name: str, revision: str | None) -> str:
    """Write a model's name with its revision.

    Example:
        >>> name_model("facebook/sam2.1-hiera-tiny", "1a2b"), name_model("my_model", None)
        ('facebook/sam2.1-hiera-tiny@1a2b', 'my_model')
    """
    return name if revision is None else f"{name}@{revision}"


def _fields(record: object, name: str, kind: type) -> dict[str, Any]:
    """Take the fields of a record if they are those of a kind.

    Raises:
        DataFormatError: If they are not.
    """
    expected = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    found = dict(record) if isinstance(record, Mapping) else {}
    required = set(expected) - {"mask_confidence"}
    if not required <= set(found) <= set(expected):
        raise DataFormatError(f"Field {name!r} is {record!r}, expected an object with {', '.join(expected)}.")
    return found


def _is_list_of(value: object, kind: type | tuple[type, ...]) -> bool:
    """Tell whether a value is a list of one kind of thing."""
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)
