"""Loads a checkpoint's processor: pictures prepared by Pillow wherever transformers can, videos not needed."""

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from transformers import AutoFeatureExtractor, AutoImageProcessor, AutoProcessor, AutoTokenizer, PretrainedConfig
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import is_torchvision_available

from headimpact.core.errors import DataFormatError, MissingExtraError


def load_processor(source: str, config: PretrainedConfig, *, revision: str | None) -> Any:
    """Load the processor with Pillow's image part; without torchvision, build it without its video part.

    transformers prepares pictures with torchvision where that is installed and with Pillow elsewhere; the two resample
    a little differently. So that scores do not depend on what else is installed, Pillow is taken wherever there is a
    choice; a run's provenance names the class. Processors that exist for torchvision alone need it.

    transformers' video processors need torchvision, and a processor with a video part cannot be built
    without one. Pictures do not need it, so the family's own class is built from its image processor,
    tokenizer and chat template, with the check for that one part waived. Videos are then refused by it.

    A tokenizer without a padding token pads with its end token; the attention mask hides it.

    Args:
        source: Folder or hub id.
        config: The model's config.
        revision: Revision on the hub, or None.

    Returns:
        The processor.

    Raises:
        MissingExtraError: If the image part itself needs a package that is not installed.
        DataFormatError: If processor files are missing or broken.
    """
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    try:
        processor = _load_whole_or_videoless(source, config, options)
    except (ImportError, OSError, ValueError, TypeError, KeyError) as error:
        if _wants_torchvision(error):
            raise MissingExtraError(
                f"The processor of {source!r} needs the package 'torchvision', which is not installed; transformers "
                f"has none for {config.model_type!r} without it. Install the release that fits torch "
                f"{torch.__version__} with: pip install torchvision"
            ) from error
        if isinstance(error, ImportError):
            raise MissingExtraError(
                f"The processor of {source!r} needs a package that is not installed: {_one_line(error)} Install what "
                "it names."
            ) from error
        raise DataFormatError(
            f"Cannot load the processor of {source!r}: {_one_line(error)}. Expected processor_config.json or "
            "preprocessor_config.json and the tokenizer's files beside config.json."
        ) from error
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None or not hasattr(processor, "image_processor"):
        raise DataFormatError(
            f"Incomplete processor in {source!r}: {type(processor).__name__} has no tokenizer or no image processor. "
            "Copy preprocessor_config.json and the tokenizer's files from the original checkpoint."
        )
    if not tokenizer.encode(
        "a", add_special_tokens=False
    ):  # transformers makes an empty one where its files are missing
        raise DataFormatError(
            f"No tokenizer in {source!r}: {type(tokenizer).__name__} knows no text. Copy tokenizer.json or the "
            "vocabulary from the original checkpoint."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return processor


def _load_whole_or_videoless(source: str, config: PretrainedConfig, options: Mapping[str, Any]) -> Any:
    """Load through `AutoProcessor`; where only the video part is missing, build the class without it.

    transformers says that torchvision is missing by an ImportError or, where the checkpoint has no settings for
    videos, by a ValueError.

    Raises:
        ImportError: If more than the video part is missing.
        ValueError: If a processor file is broken.
    """
    try:
        return _with_pillow(AutoProcessor.from_pretrained(source, **options), source, options)
    except (ImportError, ValueError) as error:
        if not _wants_torchvision(error) or type(config) not in PROCESSOR_MAPPING:
            raise
        processor_class = PROCESSOR_MAPPING[type(config)]
        if not any("video" in name for name in processor_class.get_attributes()):
            raise
    return _build_videoless(processor_class, source, options)


def _with_pillow(processor: Any, source: str, options: Mapping[str, Any]) -> Any:
    """Let Pillow prepare the pictures where transformers has a class for it beside the one for torchvision."""
    name = type(getattr(processor, "image_processor", None)).__name__
    pillow_class = getattr(transformers, f"{name}Pil", None)
    if pillow_class is not None:
        processor.image_processor = pillow_class.from_pretrained(source, **options)
    return processor


def _wants_torchvision(error: BaseException) -> bool:
    """Say whether transformers failed for want of torchvision or of a video processor, which needs it."""
    text = str(error).lower()
    return not is_torchvision_available() and ("videoprocessor" in text or "torchvision" in text)


class _AbsentPart(dict[str, Any]):
    """Stands in for an absent video part: saved as no settings; videos are refused, since it cannot be called.

    Attributes:
        num_frames: Read by SmolVLM's processor whenever it renders a chat, with or without videos.
        fps: As `num_frames`.
        model_input_names: Names that it would add to the model's inputs.
    """

    num_frames = None
    fps = None
    model_input_names = ()


def _build_videoless(processor_class: Any, source: str, options: Mapping[str, Any]) -> Any:
    """Build a processor of the family's own class with a stand-in for its video part."""

    class Videoless(processor_class):  # type: ignore[misc]
        """The same class, except that the video part may be absent while it is built."""

        def check_argument_for_proper_class(self, argument_name: str, argument: object) -> object:
            """Check every part but the absent one."""
            if isinstance(argument, _AbsentPart):
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    loaders = {
        "image_processor": AutoImageProcessor,
        "tokenizer": AutoTokenizer,
        "feature_extractor": AutoFeatureExtractor,
    }
    parts = [
        _AbsentPart() if "video" in name else loaders[name].from_pretrained(source, **options)
        for name in processor_class.get_attributes()
    ]
    settings, _ = processor_class.get_processor_dict(source, **options)
    processor = Videoless.from_args_and_dict(parts, settings)
    processor.__class__ = processor_class
    return processor


def _one_line(error: BaseException) -> str:
    """Give an error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
