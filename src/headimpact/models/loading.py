"""Loads a vision-language model with its processor, with or without an adapter.

In: a folder, a hub id or a short name. Out: a `LoadedModel`, the one thing that later stages pass around.
"""

import copy
import dataclasses
import functools
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, PretrainedConfig

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.registry import near_names_hint
from headimpact.models.adapters import load_adapter
from headimpact.models.checkpoint_files import read_config, read_weights
from headimpact.models.checkpoints import CHECKPOINTS, checkpoint_folder
from headimpact.models.family import ModelFamily, resolve_family
from headimpact.models.placement import Placement, keep_layout, saved_quantization, spread_like
from headimpact.models.processors import load_processor

SEED_LIMIT = 2**63


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode, with everything needed to feed it.

    Attributes:
        model: The transformers model, or a `PeftModel` around it.
        processor: The checkpoint's processor.
        family: What is particular to the architecture.
        name: What the user asked for.
        revision: Revision on the hub, or None.
        device: Where its inputs go; the whole model is there unless it was spread over several.
        dtype: Number format of its weights, or of its computations where it is quantised.
        adapter: Folder of the adapter, or None.
        quantization: How its weights were quantised, when it was loaded or saved, or None.
    """

    model: Any
    processor: Any
    family: ModelFamily
    name: str
    revision: str | None
    device: torch.device
    dtype: torch.dtype
    adapter: Path | None = None
    quantization: str | None = None

    @property
    def config(self) -> PretrainedConfig:
        """The whole model's config."""
        config: PretrainedConfig = self.model.config
        return config

    @functools.cached_property
    def architecture(self) -> ArchitectureSummary:
        """Sizes and names of the language part; building it anew takes tens of milliseconds."""
        return self.family.architecture(self.config)

    def describe(self) -> dict[str, str | None]:
        """Give what the record of a run says about its model."""
        return {
            "model": self.name,
            "revision": self.revision,
            "adapter": None if self.adapter is None else str(self.adapter),
            "device": str(self.device),
            "dtype": self.dtype_name,
            "quantization": self.quantization,
            "image_backend": type(self.processor.image_processor).__name__,
        }

    @property
    def is_row_by_row(self) -> bool:
        """Whether an example's states depend neither on its neighbours in a batch nor on being in training.

        In 8 bits they do: bitsandbytes looks for outliers in the whole batch, and on a CPU leaves activations whole in
        training. Of other ways to quantise nothing is known.
        """
        return self.quantization in (None, "4bit")

    @property
    def dtype_name(self) -> str:
        """Name of the number format, such as ``float32``."""
        return str(self.dtype).removeprefix("torch.")


def load_model(
    name_or_path: str | Path,
    *,
    adapter: Path | None = None,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    attn_implementation: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
) -> LoadedModel:
    """Load a vision-language model and its processor.

    No code from a checkpoint is run (`trust_remote_code` stays off), and only safetensors weights are read.

    Args:
        name_or_path: Folder with `config.json`, hub id (`owner/name`), or a short name such as `embedded`.
        adapter: Folder of a PEFT adapter trained on this model.
        revision: Revision on the hub.
        device: `auto` (a GPU if there is one), or a torch device such as `cpu` or `cuda:1`.
        dtype: `auto` (float32 on a CPU, the checkpoint's own on a GPU), or one of `DTYPES`.
        attn_implementation: As in transformers (`sdpa`, `eager`, ...); None takes its default.
        device_map: Spread the model over this machine's devices, as in Accelerate (`auto`, ...); None keeps one.
        quantization: `4bit` or `8bit` (bitsandbytes), or None.

    Returns:
        The model in evaluation mode on its device.

    Raises:
        OptionError: If device, dtype, device map, quantisation or attention implementation are unknown or not to be
            had, a revision is given for a folder, or the adapter belongs to another model.
        DataFormatError: If the folder, `config.json`, weights or processor files are missing or broken.
        UnsupportedModelError: If the checkpoint is no vision-language model or of an unknown or refused family.
        MissingExtraError: If the processor or the quantisation needs a package that is not installed.
    """
    placement = Placement.resolve(device=device, dtype=dtype, device_map=device_map, quantization=quantization)
    source = resolve_source(str(name_or_path))
    config = read_config(source, revision)
    family = resolve_family(config)
    processor = load_processor(source, config, revision=revision)
    implementation = choose_implementation(attn_implementation, family=family, config=config)
    options = placement.loading_options(config)
    model: Any = read_weights(
        AutoModelForImageTextToText,
        source,
        revision=revision,
        dtype=placement.dtype,
        attn_implementation=implementation,
        **options,
    )
    model = (model if "device_map" in options else model.to(placement.device)).eval()
    keep_layout(model)
    if adapter is not None:
        model = load_adapter(model, adapter, family=family)
    family.attention_modules(model)
    return LoadedModel(
        model=model,
        processor=processor,
        family=family,
        name=str(name_or_path),
        revision=revision,
        device=model.get_input_embeddings().weight.device if device_map is not None else placement.device,
        dtype=model.dtype,
        adapter=adapter,
        quantization=quantization or saved_quantization(config),
    )


def untrained_twin(loaded: LoadedModel, seed: int) -> LoadedModel:
    """Give a model of the same architecture with random weights, for the stricter chance level.

    The weights come from the config's own initialisation, so an untrained model as its makers had it before
    the first step. The global random state is left as it was.

    Args:
        loaded: The trained model; its adapter, if any, is left out.
        seed: Seed of the weights, 0 or above.

    Returns:
        The twin on the same devices, with the same processor; never quantised.

    Raises:
        OptionError: If the seed is out of range.
    """
    if not 0 <= seed < SEED_LIMIT:
        raise OptionError(f"Seed out of range: got {seed}; expected 0 to 2**63 - 1.")
    config = copy.deepcopy(loaded.config)
    vars(config).pop("quantization_config", None)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(
            config, dtype=loaded.dtype, attn_implementation=loaded.config._attn_implementation
        )
    return dataclasses.replace(
        loaded,
        model=spread_like(model, loaded.model, loaded.device).eval(),
        name=f"{loaded.name} (untrained, seed {seed})",
        adapter=None,
        quantization=None,
    )


def choose_implementation(asked: str | None, *, family: ModelFamily, config: PretrainedConfig) -> str | None:
    """Choose the attention implementation: the one asked for, or transformers' default where it leaves nothing out.

    Args:
        asked: What the user asked for, or None.
        family: The model's family.
        config: The model's config.

    Returns:
        A name for transformers, or None for its default.

    Raises:
        OptionError: If what was asked for would compute something else than the model was trained with, or is not to
            be had for the model.
    """
    refused = family.refused_implementations(config)
    if asked is not None and asked in refused:
        raise OptionError(
            f"Attention implementation {asked!r} is refused for {family.model_type!r}: {refused[asked]}. Pass "
            "--attn-implementation eager, or leave it out."
        )
    allowed = family.implementations(config)
    is_of_a_kernel = asked is not None and ("/" in asked or asked.startswith("flash_attention_"))
    if asked is not None and asked not in allowed and not (is_of_a_kernel and "flash_attention_2" in allowed):
        raise OptionError(
            f"Attention implementation {asked!r} is not to be had for {family.model_type!r}."
            f"{near_names_hint(asked, allowed)} Pass --attn-implementation {' or '.join(allowed)}, or leave it out."
        )
    return "eager" if asked is None and "sdpa" in refused else asked


def check_checkpoint(name: str, *, revision: str | None = None, attn_implementation: str | None = None) -> None:
    """Refuse what can be seen without loading weights: no such folder, no config, no supported family.

    A hub id is let pass; what it is shows when it is loaded.

    Args:
        name: As for `load_model`.
        revision: As for `load_model`.
        attn_implementation: As for `load_model`.

    Raises:
        DataFormatError: If there is no such folder, or its `config.json` is missing or broken.
        OptionError: If a revision is given for a folder, or the attention implementation is not to be had.
        UnsupportedModelError: If the checkpoint is no vision-language model or of an unknown or refused family.
    """
    source = resolve_source(name)
    if Path(source).is_dir():
        config = read_config(source, revision)
        choose_implementation(attn_implementation, family=resolve_family(config), config=config)


def find_family(name: str, revision: str | None = None) -> ModelFamily:
    """Find a model's family by its config, without loading weights.

    Args:
        name: As for `load_model`.
        revision: Revision on the hub.

    Raises:
        DataFormatError: If there is no such folder, or its `config.json` cannot be read.
        UnsupportedModelError: If the checkpoint is no vision-language model or of an unknown or refused family.
    """
    return resolve_family(read_config(resolve_source(name), revision))


def resolve_source(name: str) -> str:
    """Give the folder or hub id behind what the user passed.

    Args:
        name: As for `load_model`.

    Raises:
        DataFormatError: If there is no such folder, or it is no checkpoint.
    """
    short = checkpoint_folder(name)
    folder = short if short is not None else Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise DataFormatError(
                f"No config.json in {folder}. Expected a checkpoint folder as save_pretrained writes it; an adapter "
                "folder goes to --adapter, with its base model to --model."
            )
        return str(folder)
    looks_like_hub_id = name.count("/") == 1 and not name.startswith((".", "/", "~")) and not folder.exists()
    if short is None and looks_like_hub_id:
        return name
    raise DataFormatError(
        f"Model not found: {str(folder)!r} is not a folder. Pass a checkpoint folder, a hub id (owner/name), "
        f"or one of: {', '.join(CHECKPOINTS)}."
    )
