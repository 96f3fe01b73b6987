"""Loads the models that make masks: Grounding DINO for boxes, SAM 2 for masks in boxes, SAM 3 for masks from text.

In: a folder or hub id. Out: a `LoadedDetector`, `LoadedSegmenter` or `LoadedTextSegmenter`. No code from a checkpoint
is run, only safetensors weights are read, and a checkpoint that leaves weights to chance is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig

from headimpact.annotation.annotators import (
    DETECTORS,
    SEGMENTERS,
    TEXT_SEGMENTERS,
    LoadedDetector,
    LoadedSegmenter,
    LoadedTextSegmenter,
)
from headimpact.annotation.installed import require_class, require_torchvision
from headimpact.annotation.preparation import read_preparation
from headimpact.core.errors import DataFormatError, HeadImpactError, UnsupportedModelError
from headimpact.models.checkpoint_files import cannot_load, read_config, read_weights
from headimpact.models.placement import resolve_device, resolve_dtype

GROUNDING_TOKENS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""Token ids at which Grounding DINO separates phrases; transformers has them fixed, whatever the tokenizer says."""


@dataclass(frozen=True)
class _Kind:
    """What distinguishes one kind of model from another when it is loaded.

    Attributes:
        what: The kind in words, with its article.
        classes: Type in `config.json` to the name of the model's class in transformers.
        example: A checkpoint of this kind.
        load_processor: Loads what prepares inputs, from source, config and revision.
    """

    what: str
    classes: dict[str, str]
    example: str
    load_processor: Callable[[str, PretrainedConfig, str], Any]


def load_detector(
    name_or_path: str | Path = DETECTORS[0].name,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> LoadedDetector:
    """Load a Grounding DINO with its processor, pictures prepared by Pillow with or without torchvision.

    Args:
        name_or_path: Folder with `config.json`, or hub id (`owner/name`).
        revision: Revision on the hub.
        device: `auto` (a GPU if there is one), or a torch device.
        dtype: `auto` (float32 on a CPU, the checkpoint's own on a GPU), or a name such as `bfloat16`.

    Returns:
        The detector in evaluation mode.

    Raises:
        OptionError: If the device or number format is unknown or not to be had.
        DataFormatError: If files are missing or broken, or the tokenizer is not the one the model was made for.
        UnsupportedModelError: If the checkpoint is no Grounding DINO.
    """
    return LoadedDetector(**_load(_DETECTION, str(name_or_path), revision=revision, device=device, dtype=dtype))


def load_segmenter(
    name_or_path: str | Path = SEGMENTERS[0].name,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> LoadedSegmenter:
    """Load a SAM 2 with what prepares its pictures, by Pillow with or without torchvision.

    The public checkpoints say that they are the video model; its picture part is what is loaded. Half precision
    costs SAM 2 the place of its boxes, which it keeps in the format of the weights.

    Args:
        name_or_path: Folder with `config.json`, or hub id (`owner/name`).
        revision: Revision on the hub.
        device: `auto` (a GPU if there is one), or a torch device.
        dtype: `auto` (float32 on a CPU, the checkpoint's own on a GPU), or a name such as `bfloat16`.

    Returns:
        The segmenter in evaluation mode.

    Raises:
        OptionError: If the device or number format is unknown or not to be had.
        DataFormatError: If files are missing or broken, or pictures would be prepared in another size than the model's.
        UnsupportedModelError: If the checkpoint is no SAM 2.
    """
    return LoadedSegmenter(**_load(_SEGMENTATION, str(name_or_path), revision=revision, device=device, dtype=dtype))


def load_text_segmenter(
    name_or_path: str | Path = TEXT_SEGMENTERS[0].name,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> LoadedTextSegmenter:
    """Load a SAM 3 with its processor; both need torchvision.

    Args:
        name_or_path: Folder with `config.json`, or hub id (`owner/name`).
        revision: Revision on the hub.
        device: `auto` (a GPU if there is one), or a torch device.
        dtype: `auto` (float32 on a CPU, the checkpoint's own on a GPU), or a name such as `bfloat16`.

    Returns:
        The segmenter in evaluation mode.

    Raises:
        MissingExtraError: If torchvision is not installed.
        OptionError: If the device or number format is unknown or not to be had.
        DataFormatError: If files are missing or broken.
        UnsupportedModelError: If the checkpoint is no SAM 3, or the installed transformers has none.
    """
    require_torchvision("SAM 3")
    options = _load(_TEXT_SEGMENTATION, str(name_or_path), revision=revision, device=device, dtype=dtype)
    return LoadedTextSegmenter(**options)


def _load(kind: _Kind, name: str, *, revision: str | None, device: str, dtype: str) -> dict[str, Any]:
    """Load model and processor; give the fields of a `LoadedAnnotator`."""
    place = resolve_device(device)
    weights_dtype = resolve_dtype(dtype, place)
    source = _resolve_source(kind, name)
    config = _load_config(kind, source, revision)
    model_class = require_class(kind.classes[config.model_type])
    processor = _load_processor(kind, source, config, revision or "main")
    model = read_weights(model_class, source, revision=revision, dtype=weights_dtype)
    return {
        "model": model.to(place).eval(),
        "processor": processor,
        "name": name,
        "revision": revision or getattr(config, "_commit_hash", None),
        "device": place,
        "dtype": model.dtype,
    }


def _resolve_source(kind: _Kind, name: str) -> str:
    """Give the folder or hub id behind a name.

    Raises:
        DataFormatError: If there is no such folder, or it is no checkpoint.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise DataFormatError(
                f"No config.json in {folder}. Expected the folder of {kind.what} as save_pretrained writes it, or a "
                f"hub id such as {kind.example!r}."
            )
        return str(folder)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not folder.exists():
        return name
    raise DataFormatError(
        f"Model not found: {name!r} is not a folder. Pass the folder of {kind.what}, or a hub id such as "
        f"{kind.example!r}."
    )


def _load_config(kind: _Kind, source: str, revision: str | None) -> PretrainedConfig:
    """Load the config and check that it is of the kind.

    Raises:
        DataFormatError: If it cannot be read.
        UnsupportedModelError: If it is of another kind.
    """
    expected = f"Expected {kind.what} ({' or '.join(kind.classes)}), such as {kind.example!r}."
    try:
        config = read_config(source, revision)
    except (DataFormatError, UnsupportedModelError) as error:
        raise type(error)(f"{error} {expected}") from error
    if config.model_type not in kind.classes:
        raise UnsupportedModelError(f"Wrong kind of model: {source!r} is of type {config.model_type!r}. {expected}")
    return config


def _load_processor(kind: _Kind, source: str, config: PretrainedConfig, revision: str) -> Any:
    """Load what prepares the inputs.

    Raises:
        DataFormatError: If its files are missing or broken.
        HeadImpactError: If they do not fit the model.
    """
    try:
        return kind.load_processor(source, config, revision)
    except HeadImpactError:
        raise
    except (OSError, TypeError, KeyError, ValueError) as error:
        raise DataFormatError(
            f"{cannot_load('the processor', source, error)} Expected preprocessor_config.json or "
            "processor_config.json, and for phrases the tokenizer's files, beside config.json."
        ) from error


def _grounding_processor(source: str, config: PretrainedConfig, revision: str) -> Any:
    """Build Grounding DINO's processor around the Pillow form of its image processor.

    Raises:
        DataFormatError: If the tokenizer separates phrases elsewhere than the model.
    """
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision, trust_remote_code=False)
    ids = dict(zip(GROUNDING_TOKENS, tokenizer.convert_tokens_to_ids(list(GROUNDING_TOKENS)), strict=True))
    if ids != GROUNDING_TOKENS or not getattr(tokenizer, "is_fast", False):
        raise DataFormatError(
            f"Tokenizer of {source!r} does not fit {config.model_type!r}: its ids are {ids}; expected BERT's, "
            f"{GROUNDING_TOKENS}, as a fast tokenizer. Copy the tokenizer's files from the original checkpoint."
        )
    image_processor = require_class("GroundingDinoImageProcessorPil").from_pretrained(source, revision=revision)
    return require_class("GroundingDinoProcessor")(image_processor, tokenizer)


def _sam3_processor(source: str, config: PretrainedConfig, revision: str) -> Any:  # noqa: ARG001
    """Load SAM 3's processor."""
    return require_class("Sam3Processor").from_pretrained(source, revision=revision)


_DETECTION = _Kind(
    what="an open-vocabulary detector",
    classes={
        "grounding-dino": "GroundingDinoForObjectDetection",
        "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
    },
    example=DETECTORS[0].name,
    load_processor=_grounding_processor,
)
_SEGMENTATION = _Kind(
    what="a SAM 2",
    classes={"sam2": "Sam2Model", "sam2_video": "Sam2Model"},
    example=SEGMENTERS[0].name,
    load_processor=read_preparation,
)
_TEXT_SEGMENTATION = _Kind(
    what="a SAM 3",
    classes={"sam3": "Sam3Model", "sam3_video": "Sam3Model"},
    example=TEXT_SEGMENTERS[0].name,
    load_processor=_sam3_processor,
)
