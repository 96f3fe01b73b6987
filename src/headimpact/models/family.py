"""What differs between model families, and how a config finds its family."""

import copy
import dataclasses
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import UnsupportedModelError
from headimpact.core.registry import unknown_name_message
from headimpact.core.shapes import TokenPositions
from headimpact.models.families import FAMILIES, REFUSED
from headimpact.models.image_tokens import ImageTokenLayout

ImageSizes = Sequence[Sequence[tuple[int, int]]]
"""Height and width of every picture, upright (EXIF turned), per batch row."""

LayoutFunction = Callable[[PretrainedConfig, Any, Mapping[str, Any], ImageSizes], list[ImageTokenLayout]]
"""(config, processor, processed inputs, picture sizes) -> one layout per batch row, in padded positions."""

Refusals = Callable[[PretrainedConfig], Mapping[str, str]]
"""(config) -> attention implementation that would compute something else, and what it leaves out."""

LanguageInputsFunction = Callable[[nn.Module, Mapping[str, Any]], dict[str, torch.Tensor]]
"""(backbone, inputs) -> what the backbone needs to run without pictures."""

ContinuedInputs = Callable[[nn.Module, Mapping[str, Any]], dict[str, torch.Tensor]]
"""(backbone, tokens behind a prompt and the mask of both) -> what else the backbone needs to continue from it."""


def nothing_more(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Continue from a prompt with tokens and mask alone: positions go on counting.

    Args:
        backbone: Not needed.
        inputs: Not needed.
    """
    del backbone, inputs
    return {}


def _no_refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Refuse no attention implementation."""
    del config
    return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """Everything that differs between architectures; one value per file in `families/`.

    Attributes:
        model_type: Hugging Face `model_type` that the family serves.
        grid_rule: One line on how a picture becomes a grid of image tokens.
        image_token_layouts: Finds every image token of a processed batch and its place in the picture.
        language_inputs: Puts image features into the embeddings, so that the decoder runs without the tower; None
            where more than embeddings and a mask enters the decoder.
        continued_inputs: Gives what a forward pass needs to continue from a prompt that ran once; None where a
            response changes what the prompt leaves, or where that is more than keys and values.
        pixel_order: How processed pixels follow each other, so that a mask can be sent through the processor: `tiles`
            whose tokens are squares, row by row; `patches` in the order of the tokens, as many to each; `whole` where
            that holds for the first tile alone, the picture as a whole; None where it does not.
        attention_path: Dotted name of a decoder layer's attention module, `{layer_idx}` for the layer, as in
            `model.named_modules()`.
        backbone_path: Dotted name of the part that gives hidden states without logits.
        tiles: One line on how a picture is split into tiles; empty where it enters whole.
        checkpoints: Published checkpoints of 2 to 4 billion parameters, or else the best known ones.
        refused_implementations: Attention implementations that transformers offers for the model and that leave
            something out, with what it is.
        plain_template: Prompt with `{image}` and `{prompt}` for checkpoints without a chat template, or None
            if the family has always shipped one.
        answer_template: How closed questions are put where neither user nor data set says it; a name of
            `headimpact.data.closed_questions.TEMPLATES`.
        needs_torchvision: Whether transformers has the family's processor for torchvision alone.
        tower_call: Dotted name, from the backbone on, of the method that a forward pass calls with its pictures.
        uncuttable: Why the decoder cannot begin at a later layer with that layer's hidden states; empty where it can.
    """

    model_type: str
    grid_rule: str
    image_token_layouts: LayoutFunction
    language_inputs: LanguageInputsFunction | None = None
    continued_inputs: ContinuedInputs | None = None
    pixel_order: Literal["tiles", "patches", "whole"] | None = "tiles"
    attention_path: str = "model.language_model.layers.{layer_idx}.self_attn"
    backbone_path: str = "model"
    tiles: str = ""
    checkpoints: tuple[str, ...] = ()
    refused_implementations: Refusals = _no_refusals
    plain_template: str | None = None
    answer_template: str = "short"
    needs_torchvision: bool = False
    tower_call: str = "get_image_features"
    uncuttable: str = ""

    def implementations(self, config: PretrainedConfig | None = None) -> tuple[str, ...]:
        """List the attention implementations that transformers offers for a model, without those that are refused.

        Args:
            config: The checkpoint's config; the family's default one if left out.
        """
        model_class = getattr(transformers, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[self.model_type])
        offered = {
            "sdpa": model_class._supports_sdpa,
            "flash_attention_2": model_class._supports_flash_attn,
            "flex_attention": model_class._supports_flex_attn,
        }
        refused = self.refused_implementations(CONFIG_MAPPING[self.model_type]() if config is None else config)
        return ("eager", *(name for name, is_offered in offered.items() if is_offered and name not in refused))

    def attention_modules(self, model: nn.Module) -> dict[int, nn.Module]:
        """Find the attention modules of the language model by layer.

        Args:
            model: The loaded model, with or without an adapter.

        Returns:
            Layer to module, in rising order; layers without softmax attention are absent.

        Raises:
            UnsupportedModelError: If no module has the family's name.
        """
        pattern = re.compile(re.escape(self.attention_path).replace(re.escape("{layer_idx}"), r"(\d+)"))
        found = {
            int(match[1]): module
            for name, module in base_model(model).named_modules()
            if (match := pattern.fullmatch(name))
        }
        if not found:
            raise UnsupportedModelError(
                f"No attention modules found in a {self.model_type!r} model: expected names like "
                f"{self.attention_path.format(layer_idx=0)!r}. The installed transformers may be too new or too old."
            )
        return dict(sorted(found.items()))

    def layer_prefix(self, layer_idx: int) -> str:
        """Give the dotted name of a decoder layer, as in `model.named_modules()`.

        Args:
            layer_idx: Layer of the language model, 0-based.
        """
        return self.attention_path.format(layer_idx=layer_idx).rpartition(".")[0]

    def backbone(self, model: nn.Module) -> nn.Module:
        """Give the part of the model to call for hidden states without logits.

        Args:
            model: The loaded model, with or without an adapter.
        """
        return base_model(model).get_submodule(self.backbone_path)

    def decoder(self, model: nn.Module) -> nn.Module:
        """Give the language model's part that holds the layers.

        Args:
            model: The loaded model, with or without an adapter.
        """
        return base_model(model).get_submodule(self.layer_prefix(0).rpartition(".layers.")[0])

    def architecture(self, config: PretrainedConfig) -> ArchitectureSummary:
        """Summarise the language part's sizes and names, exactly, without weights.

        The model is built on torch's meta device, so a true-size config takes no memory.

        Args:
            config: The whole model's config.

        Returns:
            What selection, budgets and exports need.

        Raises:
            UnsupportedModelError: If the built model has no attention modules of the family's name.
        """
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(copy.deepcopy(config))
        modules = self.attention_modules(model)
        text = config.get_text_config()
        by_layer = {layer_idx: _projections(module) for layer_idx, module in modules.items()}
        first, projections = next(iter(by_layer.items()))
        layer: Any = text.per_layer_config[first] if hasattr(text, "per_layer_config") else text
        heads = int(layer.num_attention_heads)
        return ArchitectureSummary(
            model_type=self.model_type,
            num_layers=int(text.num_hidden_layers),
            num_heads=heads,
            num_key_value_heads=int(getattr(layer, "num_key_value_heads", None) or heads),
            head_dim=int(getattr(layer, "head_dim", None) or text.hidden_size // heads),
            hidden_size=int(text.hidden_size),
            projections=projections,
            attention_path=self.attention_path,
            total_parameters=int(model.num_parameters()),
            attention_layers=tuple(modules),
            other_projections={layer_idx: own for layer_idx, own in by_layer.items() if own != projections},
        )


def _projections(attention: nn.Module) -> dict[str, tuple[int, int]]:
    """Give the linear parts of an attention module with their (inputs, outputs)."""
    return {
        name: (child.in_features, child.out_features)
        for name, child in attention.named_children()
        if isinstance(child, nn.Linear)
    }


def base_model(model: nn.Module) -> nn.Module:
    """Give the transformers model inside wrappers, or the model itself.

    Args:
        model: A transformers model or a `PeftModel`, in `DistributedDataParallel` or not.
    """
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module
    unwrap = getattr(model, "get_base_model", None)
    return unwrap() if callable(unwrap) else model


def resolve_family(config: PretrainedConfig) -> ModelFamily:
    """Find the family of a config by its `model_type`.

    Args:
        config: The whole model's config.

    Returns:
        The family.

    Raises:
        UnsupportedModelError: If the type is refused for a known reason, is no vision-language model, or is
            not in the table.
    """
    model_type = str(getattr(config, "model_type", "") or "")
    if model_type in FAMILIES:
        family: ModelFamily = FAMILIES.load(model_type)
        return family
    if model_type in REFUSED:
        raise UnsupportedModelError(
            f"Model family {model_type!r} is refused: {REFUSED[model_type]}. `headimpact list families` says which are "
            "supported."
        )
    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise UnsupportedModelError(
            f"Not a vision-language model: {model_type!r} takes no pictures with its text. Expected one of: "
            f"{', '.join(FAMILIES)}. Pass a checkpoint of such a model."
        )
    raise UnsupportedModelError(unknown_name_message("model family", model_type, FAMILIES))


def image_token_positions(inputs: Mapping[str, Any], image_token_id: int) -> list[TokenPositions]:
    """Find the positions that the model fills with image features, per batch row.

    Args:
        inputs: Processed inputs with `input_ids` and `attention_mask`.
        image_token_id: Id of the token that stands for one image feature.
    """
    found = (inputs["input_ids"] == image_token_id) & inputs["attention_mask"].bool()
    return [np.flatnonzero(row) for row in found.cpu().numpy()]


def refuse_unfilled_grid(model_type: str, *, found: int, expected: int, grid: str) -> None:
    """Refuse a row whose image tokens are not as many as its pictures' grids have cells.

    Args:
        model_type: Family, for the message.
        found: Image tokens in the sequence.
        expected: Cells of all grids of the row.
        grid: The grids in words, as in "24 x 24".

    Raises:
        UnsupportedModelError: If the counts differ.
    """
    if found != expected:
        raise UnsupportedModelError(
            f"Image tokens do not fill the grid for {model_type!r}: found {found} tokens, expected {grid} = "
            f"{expected}. Check that processor and model belong together and that the prompt was not truncated."
        )


def known_image_processor(model_type: str, image_processor: Any, *, known: Collection[str]) -> str:
    """Give an image processor's class name without its backend, refusing one whose steps are not known.

    Args:
        model_type: Family, for the message.
        image_processor: The processor's image part.
        known: Class names, without backend, whose steps the family's file follows.

    Raises:
        UnsupportedModelError: If it is another one.
    """
    name = type(image_processor).__name__.removesuffix("Fast").removesuffix("Pil")
    if name not in known:
        raise UnsupportedModelError(
            f"Unknown image processor in a {model_type!r} model: {name}; expected one of {', '.join(known)}. How it "
            "crops or cuts pictures is not known."
        )
    return name
