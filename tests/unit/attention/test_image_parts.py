import pytest
import torch

from headimpact.attention.image_parts import gather_image_parts
from headimpact.attention.interception import AttentionCall
from headimpact.core.errors import OptionError, RunFailedError
from tests.unit.attention.calls import Module, attention_call, slow_weights
from tests.unit.attention.test_knockout import Attention
from tests.unit.attention.test_knockout_in_models import Sample
from tests.unit.attention.test_reduction import KEYS, QUERIES, causal


def gathered(module: Attention, queries=QUERIES, keys=KEYS, **options) -> torch.Tensor:
    with gather_image_parts({3: module}, queries=queries, keys=keys, **options) as parts:
        module()
    return parts[3]


def test_two_rows_by_hand():
    # equal logits: each of 2 keys has weight 1/2; image token is key 1 with value 8
    call = AttentionCall(
        module=Module(),
        implementation="eager",
        query=torch.zeros(1, 1, 2, 1),
        key=torch.ones(1, 1, 2, 1),
        value=torch.tensor([4.0, 8.0]).view(1, 1, 2, 1),
        attention_mask=torch.tensor([[[[0.0, torch.finfo(torch.float32).min], [0.0, 0.0]]]]),
        options={"scaling": 1.0},
        weights=None,
    )
    image = [torch.tensor([1])]
    assert gathered(Attention(call), [torch.tensor([1])], image).item() == pytest.approx(8 / 2)
    assert gathered(Attention(call), [torch.tensor([0, 1])], image).item() == pytest.approx((0 + 8 / 2) / 2)


@pytest.mark.parametrize("chunk_bytes", [2**20, 4096, 1])
def test_equals_plain_loops(chunk_bytes):
    call = attention_call()
    weights, found = slow_weights(call, causal), gathered(Attention(call), chunk_bytes=chunk_bytes)
    for b in range(2):
        for h in range(4):
            rows = [
                sum(weights[b, h, q, k] * call.value[b, h // 2, k] for k in KEYS[b].tolist())
                for q in QUERIES[b].tolist()
            ]
            torch.testing.assert_close(found[b, h], sum(rows, torch.zeros(6)) / len(rows), atol=1e-6, rtol=1e-5)


def test_what_is_taken_away_and_put_back_gives_the_output_as_it_was():
    """Where one row is silenced and its own image part put in its place, nothing changes."""
    module = Attention(attention_call(batch=1))
    row, keys = [torch.tensor([8])], KEYS[:1]
    means = {0: gathered(module, row, keys)[0]}
    silenced = module.knocked_out([1, 2], keys, queries=row, knockout="zero")
    found = module.knocked_out([1, 2], keys, queries=row, knockout="zero", means=means)
    assert not torch.allclose(silenced, module(), atol=1e-2)
    torch.testing.assert_close(found, module(), atol=1e-6, rtol=1e-6)


def test_means_of_a_models_pictures_take_the_place_of_what_is_taken_away(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    plain = sample.run()
    with gather_image_parts(sample.modules, queries=sample.queries, keys=sample.keys) as parts:
        assert torch.equal(sample.run(), plain)
    assert list(parts) == list(sample.modules)
    means = {layer: part.mean(dim=0) for layer, part in parts.items()}
    options = {"queries": sample.queries, "knockout": "zero"}
    zeroed, meant = sample.knocked_out(**options), sample.knocked_out(**options, means=means)
    nothing = {layer: torch.zeros_like(mean) for layer, mean in means.items()}
    assert not torch.allclose(meant, zeroed, atol=1e-4)
    assert torch.equal(sample.knocked_out(**options, means=nothing), zeroed)


@pytest.mark.parametrize("options", [{"knockout": "renormalize"}, {"knockout": "zero"}], ids=["renormalize", "layer 1"])
def test_means_that_do_not_go_with_the_knockout_are_refused(options):
    module = Attention(attention_call())
    layer = 0 if options["knockout"] == "renormalize" else 1
    with pytest.raises(OptionError, match=f"Means of layers {layer} do not go with .* Expected 'zero' and means of"):
        module.knocked_out([0], means={layer: torch.zeros(4, 6)}, **options)


def test_two_passes_are_refused():
    module = Attention(attention_call())
    with (
        pytest.raises(RunFailedError, match="Layer 0 ran twice"),
        gather_image_parts({0: module}, queries=QUERIES, keys=KEYS),
    ):
        module()
        module()
