import pytest
import torch
from transformers import Blip2Config, LlamaConfig, LlavaConfig, VideoLlavaConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families import FAMILIES, REFUSED
from headimpact.models.family import refuse_unfilled_grid, resolve_family


@pytest.mark.parametrize("model_type", FAMILIES)
def test_each_entry_serves_its_own_type(model_type):
    assert FAMILIES.load(model_type).model_type == model_type


@pytest.mark.parametrize(
    ("config", "match"),
    [
        pytest.param(LlamaConfig(), "Not a vision-language model: 'llama'", id="text only"),
        pytest.param(Blip2Config(), "'blip-2' is refused: its image enters .*list families", id="queries"),
        pytest.param(VideoLlavaConfig(), "Unknown model family 'video_llava'.*Known: llava", id="not yet"),
    ],
)
def test_refused_types(config, match):
    with pytest.raises(UnsupportedModelError, match=match):
        resolve_family(config)


def test_no_type_is_both_supported_and_refused():
    assert not set(FAMILIES) & set(REFUSED)


def test_true_size_architecture_takes_no_memory():
    text = {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "intermediate_size": 11008,
        "vocab_size": 32064,
    }
    config = LlavaConfig(text_config=text)
    summary = resolve_family(config).architecture(config)
    assert summary.projections["q_proj"] == (4096, 4096)
    assert 6.9e9 < summary.total_parameters < 7.2e9
    assert summary.module_name(31, "o_proj") == "model.language_model.layers.31.self_attn.o_proj"


def test_a_model_without_the_familys_modules():
    with pytest.raises(
        UnsupportedModelError, match=r"expected names like 'model\.language_model\.layers\.0\.self_attn'"
    ):
        FAMILIES.load("llava").attention_modules(torch.nn.Linear(1, 1))


def test_counts_that_differ_from_the_grid():
    with pytest.raises(UnsupportedModelError, match="found 575 tokens, expected 24 x 24 = 576"):
        refuse_unfilled_grid("llava", found=575, expected=576, grid="24 x 24")
