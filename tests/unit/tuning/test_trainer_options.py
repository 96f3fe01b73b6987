"""What trainers do to save memory changes no adapter: checkpointing, accumulation, bfloat16; layers and heads alike."""

import dataclasses
from pathlib import Path

import numpy as np
import peft
import pytest
import torch

from headimpact.core.errors import OptionError
from headimpact.tuning.language_inputs import LanguageInputCache
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.prefix_cache import PrefixCache
from headimpact.tuning.training import tune_adapter
from tests.unit.tuning.makers import examples, selection_for

OPTIONS = TuningOptions(max_steps=4, batch_size=4, learning_rate=1e-3, r=2, target_modules=("q_proj", "o_proj"))
HEADS = ((1, 0), (1, 3), (2, 2))
LISTED = examples(4)
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT's own


def tune(loaded, out, *, heads=None, cache=None, **changes):
    chosen = dataclasses.replace(selection_for(loaded.model, (1, 2)), heads=heads)
    options = dataclasses.replace(OPTIONS, **changes)
    return tune_adapter(loaded, LISTED, chosen, options=options, out=out, cache=cache, show_progress=False)


def assert_same(one, other, *, atol=1e-5):
    np.testing.assert_allclose(one.losses, other.losses, rtol=0, atol=atol)
    weights, others = (peft.utils.load_peft_weights(str(result.adapter)) for result in (one, other))
    torch.testing.assert_close(weights, others, rtol=0, atol=atol)


def layer_runs(loaded):
    """Count the runs of a layer's feed-forward part."""
    runs = []
    layer = loaded.family.decoder(loaded.model).layers[2]
    return runs, layer.mlp.register_forward_pre_hook(lambda *_: runs.append(1))


@pytest.mark.parametrize(("name", "heads"), [("qwen2_5_vl", None), ("llava-siglip", HEADS)], ids=["layers", "heads"])
def test_checkpointing_and_accumulation_give_the_plain_adapter(load_tiny, tmp_path, name, heads):
    loaded = load_tiny(name)
    plain = tune(loaded, tmp_path / "plain", heads=heads)
    runs, hook = layer_runs(loaded)
    checkpointed = tune(loaded, tmp_path / "checkpointed", heads=heads, gradient_checkpointing=True)
    hook.remove()
    assert len(runs) == 2 * len(plain.losses), "forward, and again for the gradients"
    assert_same(checkpointed, plain)
    assert not any(getattr(module, "gradient_checkpointing", False) for module in loaded.model.modules())
    assert_same(tune(loaded, tmp_path / "parts", heads=heads, batch_size=2, gradient_accumulation_steps=2), plain)
    both = {"batch_size": 1, "gradient_accumulation_steps": 4, "gradient_checkpointing": True}
    cache = PrefixCache(loaded, LISTED, layer_idx=1, folder=tmp_path / "cache")
    assert_same(tune(loaded, tmp_path / "all", heads=heads, cache=cache, **both), plain)


@pytest.mark.parametrize("heads", [None, HEADS], ids=["layers", "heads"])
def test_bfloat16_computes_in_half_and_stays_close(llava, tmp_path, heads):
    plain = tune(llava, tmp_path / "plain", heads=heads)
    kinds = []
    layer = llava.family.decoder(llava.model).layers[1]
    hook = layer.mlp.register_forward_hook(lambda *event: kinds.append(event[2].dtype))
    half = tune(llava, tmp_path / "half", heads=heads, bf16=True)
    hook.remove()
    assert set(kinds) == {torch.bfloat16}
    assert half.losses != plain.losses
    np.testing.assert_allclose(half.losses, plain.losses, rtol=0.02)
    weights = peft.utils.load_peft_weights(str(half.adapter))
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    # The next arm is computed in full again.
    assert tune(llava, tmp_path / "again", heads=heads).losses == plain.losses


@pytest.mark.parametrize("kind", [LanguageInputCache, PrefixCache])
def test_what_is_kept_for_bfloat16_is_computed_in_it(llava, tmp_path, kind):
    def cache(bf16: bool) -> LanguageInputCache | PrefixCache:
        if kind is LanguageInputCache:
            return LanguageInputCache(llava, LISTED, bf16=bf16)
        return PrefixCache(llava, LISTED, layer_idx=1, folder=Path(tmp_path, "cache"), bf16=bf16)

    plain = tune(llava, tmp_path / "plain", bf16=True)
    assert_same(tune(llava, tmp_path / "kept", bf16=True, cache=cache(True)), plain)
    with pytest.raises(OptionError, match="made with bf16=False, the options say bf16=True"):
        tune(llava, tmp_path / "other", bf16=True, cache=cache(False))
