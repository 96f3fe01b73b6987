import pytest
import torch

from headimpact.models.forward import run_backbone
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import picture


@pytest.fixture
def ready(tiny_model):
    loaded = tiny_model("llava-siglip")
    return loaded, encode(loaded, [picture((60, 90))], ["What?"], ["a red circle"])


def test_to_the_end_it_gives_hidden_states(ready):
    loaded, batch = ready
    with torch.no_grad():
        assert run_backbone(loaded, batch.inputs).last_hidden_state.shape[0] == 1


def test_nothing_behind_the_last_module_that_matters_is_run(ready):
    loaded, batch = ready
    ran = []
    modules = loaded.family.attention_modules(loaded.model)
    layer = loaded.model.get_submodule(loaded.family.layer_prefix(2))
    handles = [
        part.register_forward_hook(lambda module, *_: ran.append(type(module).__name__))
        for part in (layer.self_attn, layer.mlp)
    ]
    with torch.no_grad():
        assert run_backbone(loaded, batch.inputs, stop_after=modules[2]) is None
    for handle in handles:
        handle.remove()
    assert ran == ["LlamaAttention"]
    with torch.no_grad():
        assert run_backbone(loaded, batch.inputs) is not None, "the hook is gone"
