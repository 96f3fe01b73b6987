import contextlib
import dataclasses

import pytest
import torch

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.decoder_cut import starting_at, take_layer_inputs
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import picture


@pytest.fixture
def ready(tiny_model):
    return encoded(tiny_model("llava-siglip"))


def encoded(loaded):
    images = [picture((60, 90)), picture((60, 50), seed=1)]
    batch = encode(loaded, images, ["What?", "Describe it."], ["a dog", "two cats on a mat"], padding_side="right")
    return loaded, batch.inputs


def watch_layers(loaded):
    """List the numbers of the decoder's layers whose attention runs."""
    ran = []
    handles = [
        module.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
        for layer, module in loaded.family.attention_modules(loaded.model).items()
    ]
    return ran, handles


def test_the_first_pass_ends_below_the_layer_and_later_ones_begin_there(ready):
    loaded, inputs = ready
    ran, handles = watch_layers(loaded)
    towers = []
    handles.append(loaded.model.model.vision_tower.register_forward_hook(lambda *_: towers.append(1)))
    with torch.no_grad():
        kept = take_layer_inputs(loaded, inputs, 2)
        assert (ran, towers) == ([0, 1], [1])
        with starting_at(loaded.family, loaded.model, 2):
            loaded.model(**kept.per_token)
        assert (ran, towers) == ([0, 1, 2], [1])
        loaded.model(**inputs)
    assert (ran, towers) == ([0, 1, 2, 0, 1, 2], [1, 1]), "the model is as it was"
    for handle in handles:
        handle.remove()


def test_what_is_kept_are_the_states_between_the_layers(ready):
    loaded, inputs = ready
    with torch.no_grad():
        kept = take_layer_inputs(loaded, inputs, 1)
        states = loaded.model(**inputs, output_hidden_states=True).hidden_states
    assert torch.equal(kept.per_token["inputs_embeds"], states[1])
    assert torch.equal(kept.per_token["attention_mask"], inputs["attention_mask"])
    assert kept.per_row == {}


def test_nothing_is_left_behind_after_an_error(ready):
    loaded, _ = ready
    layers = loaded.family.decoder(loaded.model).layers
    with pytest.raises(ZeroDivisionError), starting_at(loaded.family, loaded.model, 2):
        assert "forward" in vars(layers[0])
        raise ZeroDivisionError
    assert all("forward" not in vars(layer) and not layer._forward_pre_hooks for layer in layers)


def test_a_forward_that_somebody_else_put_there_is_given_back(ready):
    loaded, _ = ready
    layer = loaded.family.decoder(loaded.model).layers[0]
    other = layer.forward
    layer.forward = other
    with starting_at(loaded.family, loaded.model, 1):
        assert layer.forward is not other
    assert layer.forward is other
    del layer.forward


@pytest.mark.parametrize(("cut", "kept_features"), [(0, [0, 1]), (1, [1]), (2, [])])
def test_visual_features_are_kept_where_a_layer_from_the_cut_on_gets_them(tiny_model, cut, kept_features):
    loaded, inputs = encoded(tiny_model("qwen3_vl"))
    with torch.no_grad():
        kept = take_layer_inputs(loaded, inputs, cut)
    assert list(kept.per_row) == [f"deepstack_visual_embeds.{index}" for index in kept_features]
    assert ("visual_pos_masks" in kept.per_token) == bool(kept_features)
    image_tokens = (inputs["input_ids"] == loaded.config.image_token_id).sum(dim=1).tolist()
    assert all([len(row) for row in rows] == image_tokens for rows in kept.per_row.values())


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_pictures_are_kept_where_a_layer_from_the_cut_on_looks_at_them(tiny_model, cut):
    loaded, inputs = encoded(tiny_model("mllama-pair"))
    last = max(loaded.config.text_config.cross_attention_layers)
    with torch.no_grad():
        kept = take_layer_inputs(loaded, inputs, cut)
    assert ("cross_attention_states" in kept.per_row) == (cut <= last)


def test_a_tensor_that_nobody_knows_is_refused(ready, monkeypatch):
    loaded, inputs = ready
    decoder = loaded.family.decoder(loaded.model)
    handle = decoder.register_forward_pre_hook(
        lambda _, args, kwargs: (args, {**kwargs, "per_layer_inputs": torch.zeros(1)}), with_kwargs=True
    )
    with pytest.raises(UnsupportedModelError, match=r"gets 'per_layer_inputs', which is not known.*--prefix-cache"):
        take_layer_inputs(loaded, inputs, 1)
    handle.remove()


def test_a_family_that_cannot_be_cut_says_why(ready):
    loaded, inputs = ready
    odd = dataclasses.replace(loaded, family=dataclasses.replace(loaded.family, uncuttable="layers share keys"))
    with pytest.raises(UnsupportedModelError, match="'llava' model cannot begin at a later layer: layers share keys"):
        take_layer_inputs(odd, inputs, 1)
    with pytest.raises(UnsupportedModelError, match="layers share keys"), starting_at(odd.family, odd.model, 1):
        pass


@contextlib.contextmanager
def _checkpointing(model):
    model.activation_checkpointing_enable()
    try:
        yield
    finally:
        model.activation_checkpointing_disable()


@pytest.mark.parametrize(
    "training",
    [_checkpointing, lambda _: torch.autocast("cpu", dtype=torch.bfloat16)],
    ids=["gradient-checkpointing", "autocast"],
)
def test_what_trainers_do_to_save_memory_changes_nothing(ready, training):
    loaded, inputs = ready
    weights = list(loaded.family.decoder(loaded.model).layers[1:].parameters())
    loaded.model.train()
    try:
        with training(loaded.model):
            with torch.no_grad():
                kept = take_layer_inputs(loaded, inputs, 1)
            whole = torch.autograd.grad(loaded.model(**inputs, use_cache=False).logits.float().square().mean(), weights)
            with starting_at(loaded.family, loaded.model, 1):
                logits = loaded.model(**kept.per_token, use_cache=False).logits
                short = torch.autograd.grad(logits.float().square().mean(), weights)
    finally:
        loaded.model.eval()
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-6)
