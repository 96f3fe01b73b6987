"""Reads a checkpoint's config and weights, with one line where that fails; none of its code is run, no pickle read."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import is_offline_mode
from safetensors import SafetensorError
from transformers import CONFIG_MAPPING, AutoConfig, PretrainedConfig, PreTrainedModel

from headimpact.core.errors import DataFormatError, OptionError, UnsupportedModelError
from headimpact.core.registry import near_names_hint

_LOG = logging.getLogger(__name__)

_EXPECTED = "Expected safetensors files that fit config.json."

_POINTER = b"version https://git-lfs"
"""Begins what a clone without Git LFS has in place of a large file."""


def read_config(source: str, revision: str | None) -> PretrainedConfig:
    """Read `config.json`.

    Args:
        source: Folder or hub id.
        revision: Revision on the hub, or None.

    Raises:
        DataFormatError: If it cannot be read.
        OptionError: If a revision is given for a folder, which has none.
        UnsupportedModelError: If transformers does not know its type.
    """
    if revision is not None and Path(source).is_dir():
        raise OptionError(
            f"Revision {revision!r} was given for the folder {source}; expected a hub id (owner/name) with it. Leave "
            "it out, or name the model on the hub."
        )
    if not Path(source).is_dir() and not is_offline_mode():
        _LOG.info("Asking the Hugging Face hub for %s ... (HF_HUB_OFFLINE=1 takes what is on this machine)", source)
    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(source, revision=revision or "main")
    except OSError as error:
        raise DataFormatError(cannot_load("config.json", source, error)) from error
    except (ValueError, KeyError) as error:
        content, _ = PretrainedConfig.get_config_dict(source, revision=revision or "main")
        model_type = content.get("model_type")
        if not isinstance(model_type, str) or model_type in CONFIG_MAPPING:
            raise UnsupportedModelError(cannot_load("config.json", source, error)) from error
        raise UnsupportedModelError(
            f"Unknown model type {model_type!r} in config.json of {source!r}."
            f"{near_names_hint(model_type, CONFIG_MAPPING)} The installed transformers {transformers.__version__} does "
            "not know it; if the model is newer, update transformers."
        ) from error
    return config


def read_weights(
    model_class: Any,
    source: str,
    *,
    revision: str | None,
    dtype: torch.dtype | str,
    attn_implementation: str | None = None,
    **options: Any,
) -> PreTrainedModel:
    """Read a model from safetensors files, refusing a checkpoint that leaves some weights to chance.

    Args:
        model_class: Class of transformers with `from_pretrained`.
        source: Folder or hub id.
        revision: Revision on the hub, or None.
        dtype: Number format, or `auto` for the checkpoint's own.
        attn_implementation: As in transformers; None takes its default.
        **options: More of `from_pretrained`: device map, quantisation.

    Returns:
        The model, on the CPU unless the options say otherwise.

    Raises:
        DataFormatError: If weights are missing, broken or of another size than the config says.
        OptionError: If the attention implementation is not to be had.
    """
    try:
        model, info = model_class.from_pretrained(
            source,
            revision=revision or "main",
            dtype=dtype,
            attn_implementation=attn_implementation,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, with names and sizes
            **options,
        )
    except ImportError as error:
        raise OptionError(cannot_load(f"with attention {attn_implementation!r}", source, error)) from error
    except (OSError, SafetensorError) as error:
        raise DataFormatError(
            _pointer_hint(source) or f"{cannot_load('weights', source, error)} {_EXPECTED}"
        ) from error
    except (ValueError, RuntimeError, KeyError) as error:
        if attn_implementation is not None and attn_implementation in str(error):
            raise OptionError(cannot_load(f"with attention {attn_implementation!r}", source, error)) from error
        raise DataFormatError(f"{cannot_load('weights', source, error)} {_EXPECTED}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise DataFormatError(
            f"Weights missing in {source!r}: {len(missing)}, first {missing[0]!r}. They would be random; expected all "
            "of them in the checkpoint's safetensors files."
        )
    misshapen = sorted(info["mismatched_keys"])
    if misshapen:
        name, given, expected = misshapen[0]
        raise DataFormatError(
            f"Weights of another size in {source!r}: {len(misshapen)}, first {name!r}, {_size(given)}; expected "
            f"{_size(expected)} by config.json. Take config.json and the safetensors files from one checkpoint."
        )
    loaded: PreTrainedModel = model
    return loaded


def _size(shape: Sequence[int]) -> str:
    """Write a weight's shape."""
    return " x ".join(map(str, shape))


def _pointer_hint(source: str) -> str | None:
    """Say that a folder has Git LFS's pointers in place of weights; None where it has none."""
    for path in sorted(Path(source).glob("*.safetensors")):
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                return (
                    f"No weights in {path}: it is a pointer of Git LFS. Run `git lfs pull` in the folder, or download "
                    "the checkpoint in another way."
                )
    return None


def cannot_load(what: str, source: str, error: BaseException) -> str:
    """Say what could not be loaded, on one line that ends in a full stop.

    Args:
        what: File or part.
        source: Folder or hub id.
        error: What went wrong.
    """
    reason = " ".join(str(error).split())[:400] or type(error).__name__
    return f"Cannot load {what} of {source!r}: {reason.removesuffix('.')}."
