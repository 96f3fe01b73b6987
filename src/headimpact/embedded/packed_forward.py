"""Runs the VLM on a packed batch: pictures once, all turns in one pass."""

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from headimpact.embedded.batches import IGNORED, IMAGE_TOKENS, PackedBatch

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration

FLOAT32_ATTENTION = "sdpa_float32"


def use_float32_attention(model: "LlavaForConditionalGeneration") -> None:
    """Make attention run in float32 while the rest runs under bfloat16 autocast.

    On CPU the backward pass of bfloat16 attention with a mask takes more than twice as long as the
    float32 one, while the matrix products of the rest are faster in bfloat16.

    Args:
        model: Changed in place; what it saves does not change.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    def attend(module, query, key, value, attention_mask, **options):  # type: ignore[no-untyped-def]
        """Call the ordinary attention outside autocast."""
        with torch.autocast(query.device.type, enabled=False):
            output, weights = sdpa_attention_forward(
                module, query.float(), key.float(), value.float(), attention_mask, **options
            )
        return output, weights

    AttentionInterface.register(FLOAT32_ATTENTION, attend)
    AttentionMaskInterface.register(FLOAT32_ATTENTION, sdpa_mask)
    model.set_attn_implementation(FLOAT32_ATTENTION)


def tower_features(
    model: "LlavaForConditionalGeneration", pixel_values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the tower's hidden state half-way and at the end, and what the projector makes of the latter.

    Args:
        model: The small VLM.
        pixel_values: Pictures in [-1, 1], ``[batch, 3, height, width]``.

    Returns:
        Features half-way, at the end, and projected, all ``[batch, image_tokens, width]``.
    """
    output = model.model.vision_tower(pixel_values, output_hidden_states=True, return_dict=True)
    features = output.hidden_states[model.config.vision_feature_layer]
    half_way = output.hidden_states[len(output.hidden_states) // 2]
    return half_way, features, model.model.multi_modal_projector(features)


def packed_hidden_states(
    model: "LlavaForConditionalGeneration", batch: PackedBatch, image_features: torch.Tensor
) -> torch.Tensor:
    """Return the decoder's last hidden state for every position of a packed batch.

    Args:
        model: The small VLM.
        batch: Prefix and turns.
        image_features: Projected features, ``[batch, image_tokens, width]``.

    Returns:
        Hidden states ``[batch, keys, width]``.
    """
    embedded = model.get_input_embeddings()(batch.input_ids)
    first = int((batch.input_ids[0] == model.config.image_token_id).nonzero()[0])
    embedded = torch.cat(
        [embedded[:, :first], image_features.to(embedded.dtype), embedded[:, first + IMAGE_TOKENS :]], dim=1
    )
    output = model.model.language_model(
        inputs_embeds=embedded,
        attention_mask=batch.attention_mask,
        position_ids=batch.position_ids,
        use_cache=False,
    )
    hidden_states: torch.Tensor = output.last_hidden_state
    return hidden_states


def answer_loss(
    model: "LlavaForConditionalGeneration", batch: PackedBatch, hidden_states: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy over all answer tokens and the share predicted right.

    Args:
        model: The small VLM.
        batch: Gives the labels.
        hidden_states: Last hidden state ``[batch, keys, width]``.

    Returns:
        Mean loss in nats and token accuracy in [0, 1].
    """
    is_answer = batch.labels != IGNORED
    logits = model.lm_head(hidden_states[is_answer]).float()
    labels = batch.labels[is_answer]
    return functional.cross_entropy(logits, labels), (logits.argmax(-1) == labels).float().mean()
