"""What enters a layer, kept on disk and padded anew, gives the losses and gradients of the whole pass."""

import pytest
import torch

from headimpact.core.errors import UnsupportedModelError
from headimpact.tuning.language_inputs import encode_batch
from headimpact.tuning.loss import answer_loss
from headimpact.tuning.prefix_cache import PrefixCache
from tests.unit.tuning.makers import examples

BATCH = [3, 0, 2]
"""Others than the block that was computed together, in another order."""


def loss_and_gradients(model, batch, parameters):
    loss = answer_loss(model, batch.inputs, batch.labels)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return loss.detach(), {place: one for place, one in enumerate(gradients) if one is not None}


def test_losses_and_gradients_equal_those_of_the_whole_pass(loaded, tmp_path):
    listed, family = examples(5), loaded.family
    layers = family.decoder(loaded.model).layers
    if family.uncuttable:
        with pytest.raises(UnsupportedModelError, match=r"cannot begin at a later layer: .*\. Tune without"):
            PrefixCache(loaded, listed, layer_idx=1, folder=tmp_path).fill(BATCH)
        return
    fresh = encode_batch(loaded, [listed[index] for index in BATCH])
    for cut in sorted({0, 1, len(layers) - 1}):
        parameters = list(layers[cut:].parameters())
        loss, gradients = loss_and_gradients(loaded.model, fresh, parameters)
        cache = PrefixCache(loaded, listed, layer_idx=cut, folder=tmp_path)
        cache.fill(BATCH)
        with cache.running(loaded.model):
            kept_loss, kept_gradients = loss_and_gradients(loaded.model, cache.batch(BATCH), parameters)
        torch.testing.assert_close(kept_loss, loss, rtol=0, atol=1e-5)
        assert len(gradients) > 3
        torch.testing.assert_close(kept_gradients, gradients, rtol=1e-3, atol=5e-5)
    assert torch.equal(answer_loss(loaded.model, fresh.inputs, fresh.labels).detach(), loss), "left as it was"
