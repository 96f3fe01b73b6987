"""Tiny detectors and segmenters with random weights, saved as real checkpoints are: real classes, no download."""

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertTokenizer,
    CLIPTextConfig,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
    Sam2Config,
    Sam2Model,
    Sam2VideoConfig,
    Sam2VideoModel,
    SwinConfig,
)

from tests.tiny_models.tokenizers import byte_tokenizer

WORDS = ("small", "brown", "dog", "red", "sofa", "cat", "blue", "cup", "a", "on")
TEXT_LENGTH = 24
SQUARE = 64


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def bert_tokenizer() -> BertTokenizer:
    """WordPiece with BERT's ids of the tokens at which Grounding DINO separates phrases; any text encodes."""
    vocabulary = {f"[unused{index}]": index for index in range(1030)}
    for token, index in (("[PAD]", 0), ("[UNK]", 100), ("[CLS]", 101), ("[SEP]", 102), ("[MASK]", 103)):
        vocabulary = {word: place for word, place in vocabulary.items() if place != index} | {token: index}
    for token, index in ((".", 1012), ("?", 1029)):
        vocabulary = {word: place for word, place in vocabulary.items() if place != index} | {token: index}
    letters = string.ascii_lowercase + string.digits + "-'"
    for token in (*WORDS, *letters, *(f"##{letter}" for letter in letters)):
        vocabulary.setdefault(token, len(vocabulary))
    return BertTokenizer(vocab=vocabulary)


def shuffle_weights(model: torch.nn.Module, std: float = 0.2) -> None:
    """Give weights that make outputs differ; the initial ones are near zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * std)


def save_grounding_dino(folder: Path, *, mm: bool = False) -> None:
    tokenizer = bert_tokenizer()
    options: dict[str, Any] = {
        "backbone_config": SwinConfig(
            image_size=SQUARE,
            embed_dim=16,
            depths=[1, 1, 1],
            num_heads=[2, 2, 2],
            window_size=4,
            out_features=["stage2", "stage3"],
        ),
        "text_config": BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=128,
        ),
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "num_queries": 12,
        "num_feature_levels": 3,
        "encoder_n_points": 2,
        "decoder_n_points": 2,
        "max_text_len": TEXT_LENGTH,
    }
    torch.manual_seed(0)
    if mm:
        model = MMGroundingDinoForObjectDetection(MMGroundingDinoConfig(**options))
    else:
        model = GroundingDinoForObjectDetection(GroundingDinoConfig(**options))
    shuffle_weights(model.bbox_embed)
    with torch.no_grad():
        model.model.decoder.layer_norm.weight.mul_(0.1)  # probabilities away from 0 and 1
    model.save_pretrained(folder)
    image_processor = GroundingDinoImageProcessorPil(size={"shortest_edge": 48, "longest_edge": 80})
    GroundingDinoProcessor(image_processor, tokenizer).save_pretrained(folder)


def _sam2_options() -> dict[str, Any]:
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "image_size": [SQUARE, SQUARE],
        "hidden_size": 8,
        "embed_dim_per_stage": [8, 16, 24, 32],
        "num_attention_heads_per_stage": [1, 2, 2, 4],
        "blocks_per_stage": [1, 1, 2, 1],
        "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": [32, 24, 16, 8],
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        "fpn_hidden_size": 32,
    }
    decoder = {
        "hidden_size": 32,
        "mlp_dim": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "iou_head_hidden_dim": 32,
    }
    prompts = {"hidden_size": 32, "image_size": SQUARE, "patch_size": 16, "mask_input_channels": 8}
    return {"vision_config": vision, "prompt_encoder_config": prompts, "mask_decoder_config": decoder}


def _write_sam2_preparation(folder: Path) -> None:
    """Write what the public checkpoints have; transformers' class that writes it needs torchvision."""
    settings = {
        "image_processor_type": "Sam2ImageProcessorFast",
        "processor_class": "Sam2Processor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "size": {"height": SQUARE, "width": SQUARE},
        "mask_size": {"height": SQUARE // 4, "width": SQUARE // 4},
        "resample": 2,
        "rescale_factor": 1 / 255,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "default_to_square": True,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")


def save_sam2(folder: Path) -> None:
    torch.manual_seed(0)
    model = Sam2Model(Sam2Config(**_sam2_options()))
    shuffle_weights(model)
    model.save_pretrained(folder)
    _write_sam2_preparation(folder)


def save_sam2_video(folder: Path) -> None:
    """The video model, as the public checkpoints are."""
    memory = {
        "image_size": SQUARE,
        "memory_attention_hidden_size": 32,
        "memory_attention_feed_forward_hidden_size": 48,
        "memory_attention_num_layers": 1,
        "memory_attention_rope_feat_sizes": [4, 4],
        "memory_encoder_hidden_size": 32,
        "memory_encoder_output_channels": 16,
        "mask_downsampler_embed_dim": 32,
        "memory_fuser_embed_dim": 32,
        "memory_fuser_intermediate_dim": 48,
    }
    torch.manual_seed(0)
    model = Sam2VideoModel(Sam2VideoConfig(**_sam2_options(), **memory))
    shuffle_weights(model)
    model.save_pretrained(folder)
    _write_sam2_preparation(folder)


def save_sam3(folder: Path) -> None:
    """SAM 3; model and processor need torchvision."""
    from transformers import Sam3Config, Sam3ImageProcessor, Sam3Model, Sam3Processor

    tokenizer = byte_tokenizer("<pad>", "<s>", "</s>", bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    side = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48}
    backbone = {
        "model_type": "sam3_vit_model",
        **side,
        "num_hidden_layers": 2,
        "image_size": 56,
        "patch_size": 14,
        "window_size": 2,
        "global_attn_indexes": [1],
        "pretrain_image_size": 28,
    }
    config = Sam3Config(
        vision_config={
            "model_type": "sam3_vision_model",
            "backbone_config": backbone,
            "fpn_hidden_size": 32,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        text_config=CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            projection_dim=16,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=32,
            eos_token_id=2,
            bos_token_id=1,
            pad_token_id=0,
        ).to_dict(),
        geometry_encoder_config={**side, "num_layers": 1, "roi_size": 3},
        detr_encoder_config={**side, "num_layers": 1},
        detr_decoder_config={**side, "num_layers": 2, "num_queries": 8},
        mask_decoder_config={"hidden_size": 32, "num_upsampling_stages": 3, "num_attention_heads": 4},
    )
    torch.manual_seed(0)
    model = Sam3Model(config)
    shuffle_weights(model)
    model.save_pretrained(folder)
    Sam3Processor(Sam3ImageProcessor(size={"height": 56, "width": 56}), tokenizer).save_pretrained(folder)
