"""What kept states were made from: hashes of the model below a layer, of the processor, and of pictures and texts."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from PIL.Image import Image

from headimpact.core.errors import OptionError
from headimpact.core.provenance import hash_texts
from headimpact.models.family import base_model
from headimpact.models.loading import LoadedModel
from headimpact.tuning.examples import TuningExample

_IN_PASSING = ("_name_or_path", "use_cache")


def describe_prefix(loaded: LoadedModel, layer_idx: int) -> dict[str, Any]:
    """Gather everything that the states depend on besides pictures and texts.

    Args:
        loaded: The model, with or without an adapter.
        layer_idx: The layer that the states enter.

    Returns:
        JSON-serialisable facts; equal where the states are.

    Raises:
        OptionError: If some weights are not in memory.
    """
    processor = loaded.processor
    return {
        "layer_idx": layer_idx,
        "weights": _hash_weights(loaded, layer_idx),
        "config": _hash_config(loaded),
        "processor": hash_texts(
            [
                processor.image_processor.to_json_string(),
                str(processor.chat_template or processor.tokenizer.chat_template),
                processor.tokenizer.backend_tokenizer.to_str(),
            ]
        ),
        "dtype": loaded.dtype_name,
        "device": loaded.device.type,
        "attn_implementation": str(loaded.config._attn_implementation),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _hash_config(loaded: LoadedModel) -> str:
    """Hash what the config says, without where it came from and what training sets for a while."""
    content = {name: value for name, value in loaded.config.to_dict().items() if name not in _IN_PASSING}
    return hash_texts([json.dumps(content, sort_keys=True, default=str)])


def _hash_weights(loaded: LoadedModel, layer_idx: int) -> str:
    """Hash all weights but those of the layer and later ones.

    Raises:
        OptionError: If some are not in memory.
    """
    above = tuple(
        f"{loaded.family.layer_prefix(later)}."
        for later in range(layer_idx, int(loaded.config.get_text_config().num_hidden_layers))
    )
    digest = hashlib.sha256()
    for name, parameter in base_model(loaded.model).named_parameters():
        if name.startswith(above):
            continue
        if parameter.is_meta:
            raise OptionError(f"Prefix cache needs all weights in memory: {name} is not. Pass --prefix-cache off.")
        digest.update(f"{name} {parameter.dtype} {tuple(parameter.shape)}".encode())
        for tensor in (parameter.data, *_scales(parameter)):
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _scales(parameter: torch.nn.Parameter) -> list[torch.Tensor]:
    """Give what bitsandbytes multiplies the codes of a 4-bit weight by; nothing for other weights."""
    state = getattr(parameter, "quant_state", None)
    return [] if state is None else list(state.as_dict(packed=True).values())


def hash_examples(examples: Sequence[TuningExample], pictures: Sequence[Image]) -> str:
    """Hash texts and pixels.

    Args:
        examples: What is learned from.
        pictures: Their pictures.
    """
    texts = (text for example in examples for text in (example.prompt, example.answer))
    return hash_texts([*texts, *map(_hash_picture, pictures)])


def _hash_picture(picture: Image) -> str:
    """Hash size and pixels."""
    return hashlib.sha256(f"{picture.mode} {picture.size}".encode() + picture.tobytes()).hexdigest()


def refuse_random_pictures(examples: Sequence[TuningExample], pictures: Sequence[Image]) -> None:
    """Refuse pictures that are not the same when they are loaded again.

    Args:
        examples: What is learned from.
        pictures: Their pictures as they were loaded before.

    Raises:
        OptionError: If one is not.
    """
    for example, picture in zip(examples, pictures, strict=True):
        if _hash_picture(example.load_image()) != _hash_picture(picture):
            raise OptionError(
                f"Picture {example.image_id!r} changes from look to look, as with random augmentation; what is made of "
                "it can be kept only where it does not. Pass --prefix-cache off, or take the augmentation out."
            )
