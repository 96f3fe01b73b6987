"""Builds the untrained small VLM: SigLIP tower, Llama decoder, LLaVA around them, and its processor."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headimpact.embedded.attributes import SIDE, TOKEN_SIDE

if TYPE_CHECKING:
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast


@dataclass(frozen=True, kw_only=True)
class Size:
    """Sizes of the small VLM.

    Args:
        width: Hidden size of tower and decoder.
        mlp_width: Inner width of the MLPs of tower and decoder.
        tower_layers: Layers of the vision tower.
        num_layers: Layers of the decoder.
        num_heads: Query heads of the decoder.
        num_key_value_heads: Key/value heads of the decoder.
    """

    width: int = 128
    mlp_width: int = 384
    tower_layers: int = 4
    num_layers: int = 12
    num_heads: int = 8
    num_key_value_heads: int = 4


def build_model(tokenizer: "PreTrainedTokenizerFast", *, size: Size, seed: int) -> "LlavaForConditionalGeneration":
    """Return the VLM with random weights.

    Args:
        tokenizer: Gives the vocabulary size and the ids of the special tokens.
        size: Sizes of the model.
        seed: Seed of the random weights.

    Returns:
        The model in float32 with a greedy generation configuration.
    """
    import torch
    from transformers import GenerationConfig, LlavaForConditionalGeneration

    config = _build_config(tokenizer, size=size)
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=48,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def _build_config(tokenizer: "PreTrainedTokenizerFast", *, size: Size) -> "LlavaConfig":
    """Put the configurations of tower and decoder into one."""
    from transformers import LlamaConfig, LlavaConfig, SiglipVisionConfig

    tower = SiglipVisionConfig(
        hidden_size=size.width,
        intermediate_size=size.mlp_width,
        num_hidden_layers=size.tower_layers,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=TOKEN_SIDE,
        vision_use_head=False,
    )
    decoder = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.mlp_width,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        num_key_value_heads=size.num_key_value_heads,
        max_position_embeddings=1024,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaConfig(
        vision_config=tower,
        text_config=decoder,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(SIDE // TOKEN_SIDE) ** 2,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
        dtype="float32",
    )


def build_processor(tokenizer: "PreTrainedTokenizerFast") -> "LlavaProcessor":
    """Return the processor: resize to 80 x 80, scale to [-1, 1], expand the image token 100 times.

    Args:
        tokenizer: The VLM's tokenizer.

    Returns:
        A processor that needs PIL but not torchvision.
    """
    from transformers import LlavaProcessor, SiglipImageProcessorPil

    image_processor = SiglipImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5]
    )
    return LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=TOKEN_SIDE,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=tokenizer.chat_template,
    )
