"""Gemma 4, the small kind (shared keys, embeddings of every layer) and the large (image tokens see each other)."""

import json
from pathlib import Path

import torch
from transformers import (
    Gemma4AudioFeatureExtractor,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4ImageProcessorPil,
    Gemma4TextConfig,
    Gemma4VisionConfig,
)

from tests.tiny_models.tokenizers import byte_tokenizer

GEMMA4_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|image|>' }}{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}"
    "{{ '<turn|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|turn>model\n' }}{% endif %}"
)

MIXING = ("self_attn.o_proj.linear",)
PATCHES = ("patch_embedder.input_proj",)

NAMED = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}


def _save_gemma4(folder: Path, **decoder: object) -> None:
    special = ("<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>", *NAMED.values(), "<|video|>")
    tokenizer = byte_tokenizer(
        *special,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        additional_special_tokens=list(special[3:]),
        extra_special_tokens=NAMED,
    )
    text = Gemma4TextConfig(
        vocab_size=len(tokenizer),
        vocab_size_per_layer_input=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_attention_heads=4,
        head_dim=8,
        global_head_dim=16,
        max_position_embeddings=4096,
        initializer_range=0.2,
        sliding_window=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **decoder,
    )
    vision = Gemma4VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=8,
        patch_size=4,
        position_embedding_size=256,
    )
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in NAMED.items()}
    ids["eoa_token_index"] = ids.pop("eoa_token_id")
    config = Gemma4Config(
        text_config=text,
        vision_config=vision,
        audio_config=None,
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        tie_word_embeddings=False,
        **ids,
    )
    torch.manual_seed(0)
    Gemma4ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.chat_template = GEMMA4_TEMPLATE
    tokenizer.save_pretrained(folder)
    processor = {
        "processor_class": "Gemma4Processor",
        "image_processor": json.loads(Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70).to_json_string()),
        "video_processor": {"video_processor_type": "Gemma4VideoProcessor"},
        "feature_extractor": json.loads(Gemma4AudioFeatureExtractor().to_json_string()),
    }
    (folder / "processor_config.json").write_text(json.dumps(processor))


def save_gemma4(folder: Path) -> None:
    """Gemma 4 as E2B and E4B: the last two of five layers take over keys and values; wider heads every second layer."""
    _save_gemma4(
        folder,
        num_hidden_layers=5,
        num_key_value_heads=1,
        num_kv_shared_layers=2,
        hidden_size_per_layer_input=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    )


def save_gemma4_mutual(folder: Path) -> None:
    """Gemma 4 as 31B: image tokens of one picture see each other; keys serve as values in the last layer."""
    _save_gemma4(
        folder,
        num_hidden_layers=3,
        num_key_value_heads=2,
        num_global_key_value_heads=1,
        hidden_size_per_layer_input=0,
        attention_k_eq_v=True,
        use_bidirectional_attention="vision",
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
    )
