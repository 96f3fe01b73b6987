import dataclasses

import pytest
import torch

from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.tuning.language_inputs import LanguageInputCache, encode_batch, offers_language_inputs
from headimpact.tuning.loss import answer_loss
from tests.unit.tuning.makers import examples

FAMILIES = ["llava-siglip", "qwen2_5_vl"]


@pytest.mark.parametrize("name", FAMILIES)
def test_losses_and_gradients_equal_those_without_keeping(load_tiny, name):
    loaded = load_tiny(name)
    listed = examples(7)
    cache = LanguageInputCache(loaded, listed)
    weight = loaded.model.model.language_model.layers[1].self_attn.q_proj.weight
    for indices in ([3, 0, 6], [5], [1, 2, 3, 4]):
        kept = cache.batch(indices)
        fresh = encode_batch(loaded, [listed[index] for index in indices])
        losses, gradients = [], []
        for batch in (kept, fresh):
            loss = answer_loss(loaded.model, batch.inputs, batch.labels)
            losses.append(loss.detach())
            gradients.append(torch.autograd.grad(loss, weight)[0])
        torch.testing.assert_close(losses[0], losses[1], rtol=0, atol=1e-5)
        torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)
    assert len(cache) == 7


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_do_not_depend_on_who_asked_first(load_tiny, name):
    loaded, listed = load_tiny(name), examples(20)
    early, late = LanguageInputCache(loaded, listed), LanguageInputCache(loaded, listed)
    late.batch([17])
    late.batch([2, 3])
    first, second = early.batch([4, 18]), late.batch([4, 18])
    assert first.inputs.keys() == second.inputs.keys()
    assert all(torch.equal(first.inputs[field], second.inputs[field]) for field in first.inputs)
    assert torch.equal(first.labels, second.labels)


@pytest.mark.parametrize("name", FAMILIES)
def test_families_offer_language_inputs(load_tiny, name):
    assert offers_language_inputs(load_tiny(name))


def test_vision_tower_runs_once_an_example(llava):
    calls = []
    hook = llava.model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    cache = LanguageInputCache(llava, examples(5))
    for indices in ([0, 1], [2, 3, 4], [0, 4]):
        answer_loss(llava.model, cache.batch(indices).inputs, cache.batch(indices).labels)
    hook.remove()
    assert len(calls) == 1


def test_padding_is_on_the_right_and_hidden(llava):
    cache = LanguageInputCache(llava, examples(3))
    batch = cache.batch([2, 1])
    lengths = batch.inputs["attention_mask"].sum(1).tolist()
    assert lengths[0] < lengths[1] == batch.labels.shape[1]
    assert not batch.inputs["attention_mask"][0, lengths[0] :].any()
    assert (batch.labels[0, lengths[0] :] == -100).all()


def test_training_mode_is_given_back(llava):
    llava.model.train()
    LanguageInputCache(llava, examples(1)).batch([0])
    assert all(module.training for module in llava.model.modules())
    llava.model.eval()


def test_memory_is_refused_after_the_first_block(llava):
    cache = LanguageInputCache(llava, examples(40), max_bytes=50_000)
    with pytest.raises(OptionError, match=r"for 40 examples, at most 0.00 GiB allowed.*--limit"):
        cache.batch([0])
    assert len(cache) == 16


def test_serves_only_its_own_model_and_list(llava, load_tiny):
    listed = examples(2)
    cache = LanguageInputCache(llava, listed)
    assert cache.serves(llava, list(listed))
    assert not cache.serves(load_tiny("qwen2_5_vl"), listed)
    assert not cache.serves(llava, listed[::-1])
    assert not cache.serves(llava, listed[:1])


def test_inputs_that_are_not_rows_are_refused(llava):
    def flat(backbone, inputs):
        return {"attention_mask": inputs["attention_mask"], "features": torch.zeros(3, 2)}

    odd = dataclasses.replace(llava, family=dataclasses.replace(llava.family, language_inputs=flat))
    with pytest.raises(UnsupportedModelError, match=r"'features' has shape \(3, 2\); expected batch and sequence"):
        LanguageInputCache(odd, examples(1)).batch([0])
