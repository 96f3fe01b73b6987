import contextlib
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface
from transformers.models.llama import modeling_llama

from headimpact.attention.capture import capture_attention
from headimpact.attention.queries import response_rows
from headimpact.attention.visibility import Visibility
from headimpact.core.errors import OptionError, RunFailedError, UnsupportedModelError
from headimpact.models.prompts import encode

EAGER = modeling_llama.eager_attention_forward


def surroundings():
    """Everything that capture touches, as it stands now."""
    return (
        dict(ALL_ATTENTION_FUNCTIONS._local_mapping),
        dict(AttentionInterface._global_mapping),
        modeling_llama.eager_attention_forward,
    )


@pytest.fixture(autouse=True)
def _left_as_it_was():
    before = surroundings()
    yield
    assert surroundings() == before


@pytest.fixture
def loaded(tiny_model):
    return tiny_model("llava-siglip")


class Sample:
    """One encoded sample of a model and how to run and capture it."""

    def __init__(self, loaded, *, seed: int = 0) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (50, 70, 3), dtype=np.uint8)
        self.batch = encode(loaded, [Image.fromarray(pixels)], ["Describe it."], ["a red circle"])
        self.modules = loaded.family.attention_modules(loaded.model)
        self.backbone = loaded.family.backbone(loaded.model)
        self.queries = response_rows(self.batch.response_spans)
        self.keys = [torch.from_numpy(layout.positions) for layout in self.batch.layouts]

    def run(self) -> torch.Tensor:
        with torch.no_grad():
            hidden: torch.Tensor = self.backbone(**self.batch.inputs, use_cache=False).last_hidden_state
        return hidden

    def capture(self, **options):
        return capture_attention(self.modules, **{"queries": self.queries, "keys": self.keys, **options})

    def maps(self, **options) -> torch.Tensor:
        with self.capture(**options) as captured:
            self.run()
        maps: torch.Tensor = captured.maps[0]
        return maps


@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_the_interface_is_entered_and_left(tiny_model, name, implementation):
    sample = Sample(tiny_model(name, attn_implementation=implementation))
    before = surroundings()
    with sample.capture():
        assert surroundings() != before or (name, implementation) == ("qwen2_5_vl", "eager")
    assert surroundings() == before


def test_restored_after_an_exception(loaded):
    sample, before = Sample(loaded), surroundings()

    def run_and_fail() -> float:
        sample.run()
        return 1 / 0

    with pytest.raises(ZeroDivisionError), sample.capture():
        run_and_fail()
    assert surroundings() == before
    assert sample.maps().shape == (3, 4, 25)


def test_restored_when_one_module_cannot_be_observed(loaded):
    sample, before = Sample(loaded), surroundings()
    modules = {**sample.modules, 3: torch.nn.Linear(1, 1)}
    with (
        pytest.raises(UnsupportedModelError, match="Linear with implementation 'eager' does not look"),
        capture_attention(modules, queries=sample.queries, keys=sample.keys),
    ):
        pass
    assert surroundings() == before


def test_a_users_own_entry_is_called_and_put_back(loaded):
    sample, seen = Sample(loaded), []
    original = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def own(module, query, key, value, attention_mask, **kwargs):
        seen.append(module)
        return original(module, query, key, value, attention_mask, **kwargs)

    ALL_ATTENTION_FUNCTIONS["sdpa"] = own
    try:
        with sample.capture() as captured:
            sample.run()
        assert set(sample.modules.values()) <= set(seen)
        assert captured.maps[0].shape == (3, 4, 25)
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is own
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def test_an_entry_replaced_meanwhile_is_left_alone(loaded):
    sample = Sample(loaded)
    try:
        with sample.capture() as captured:
            watched = ALL_ATTENTION_FUNCTIONS["sdpa"]

            def replaced(*args, **kwargs):
                return watched(*args, **kwargs)

            ALL_ATTENTION_FUNCTIONS["sdpa"] = replaced
            sample.run()
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is replaced
        assert torch.equal(captured.maps[0], sample.maps())
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def test_nested_captures_see_the_same(loaded):
    sample = Sample(loaded)
    alone = sample.maps()
    last = [row[-1:] for row in sample.queries]
    with sample.capture() as outer, sample.capture(queries=last) as inner:
        sample.run()
    assert torch.equal(outer.maps[0], alone)
    torch.testing.assert_close(inner.maps[0], sample.maps(queries=last), atol=0, rtol=0)


def test_captures_that_overlap_without_nesting(loaded):
    sample = Sample(loaded)
    first, second = contextlib.ExitStack(), contextlib.ExitStack()
    one = first.enter_context(sample.capture())
    two = second.enter_context(sample.capture())
    sample.run()
    first.close()
    second.close()
    assert torch.equal(one.maps[0], two.maps[0])


def test_a_second_model_passes_unseen(loaded, tiny_model):
    sample, other = Sample(loaded), Sample(tiny_model("llava-clip"), seed=1)
    expected = sample.maps()
    plain = other.run()
    with sample.capture() as captured:
        assert torch.equal(other.run(), plain)
        sample.run()
        assert torch.equal(other.run(), plain)
    assert torch.equal(captured.maps[0], expected)


def test_two_models_at_once(loaded, tiny_model):
    one, two = Sample(loaded), Sample(tiny_model("llava-clip"), seed=1)
    with one.capture() as first, two.capture() as second:
        two.run()
        one.run()
    assert torch.equal(first.maps[0], one.maps())
    assert torch.equal(second.maps[0], two.maps())


def test_two_threads_at_once(loaded, tiny_model):
    samples = [Sample(loaded), Sample(tiny_model("llava-clip"), seed=1)]
    expected = [sample.maps() for sample in samples]
    found: dict[int, list[torch.Tensor]] = {0: [], 1: []}

    def work(index: int) -> None:
        for _ in range(5):
            found[index].append(samples[index].maps())

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        assert len(found[index]) == 5
        assert all(torch.equal(maps, expected[index]) for maps in found[index])


def test_more_positional_arguments_than_names_are_refused(loaded):
    sample = Sample(loaded)
    original = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def own(*args, **kwargs):
        return original(*args[:5], **kwargs)

    ALL_ATTENTION_FUNCTIONS["sdpa"] = own
    try:
        tensors = [torch.zeros(1, 4, 2, 8)] * 3
        with pytest.raises(UnsupportedModelError, match="takes 6 positional arguments"), sample.capture():
            ALL_ATTENTION_FUNCTIONS["sdpa"](sample.modules[0], *tensors, None, 0.5)
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]


def test_the_vision_tower_passes_unseen(loaded):
    sample = Sample(loaded)
    with sample.capture() as captured:
        sample.run()
    assert captured.layer_indices == (0, 1, 2)
    assert captured.sees_image[0].shape == (3, 4)


def test_chosen_layers_alone(loaded):
    sample = Sample(loaded)
    with capture_attention({2: sample.modules[2]}, queries=sample.queries, keys=sample.keys) as captured:
        sample.run()
    assert torch.equal(captured.maps[0], sample.maps()[2:])


def test_the_mask_is_looked_at_once_for_all_layers(loaded, monkeypatch):
    sample, looks = Sample(loaded), []
    look = Visibility.look

    def counted(self, *places):
        looks.append(places)
        return look(self, *places)

    monkeypatch.setattr(Visibility, "look", counted)
    sample.maps()
    assert len(sample.modules) > 1
    assert len(looks) == 2, "at all keys, and at the image tokens"


def test_gradients_flow_as_without_capture(loaded):
    sample = Sample(loaded)
    weight = sample.modules[0].q_proj.weight

    def gradient() -> torch.Tensor:
        hidden = sample.backbone(**sample.batch.inputs, use_cache=False).last_hidden_state
        found: torch.Tensor = torch.autograd.grad(hidden.square().sum(), weight)[0]
        return found

    plain = gradient()
    with sample.capture() as captured:
        watched = gradient()
    assert torch.equal(plain, watched)
    assert not captured.maps[0].requires_grad


def test_maps_do_not_depend_on_the_batch(loaded):
    images = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue", "white")]
    texts = ["a red circle", "a blue square near the top of the large background", "what"]

    def maps(rows: list[int], side: Any) -> list[torch.Tensor]:
        batch = encode(
            loaded,
            [images[row] for row in rows],
            ["What?"] * len(rows),
            [texts[row] for row in rows],
            padding_side=side,
        )
        modules = loaded.family.attention_modules(loaded.model)
        keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
        capture = capture_attention(modules, queries=response_rows(batch.response_spans), keys=keys)
        with capture as captured, torch.no_grad():
            loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False)
        return captured.maps

    alone = [maps([row], "left")[0] for row in range(3)]
    for side in ("left", "right"):
        for found, expected in zip(maps([0, 1, 2], side), alone, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"reduction": "man"}, "Did you mean 'mean'"),
        ({"queries": [torch.tensor([], dtype=torch.long)]}, "batch row 0: 0 query and 25 key positions"),
        ({"queries": []}, "different batches: 0 and 1 rows"),
    ],
    ids=["reduction", "no rows", "no batch"],
)
def test_what_cannot_be_captured_is_refused_at_once(loaded, options, match):
    with pytest.raises(OptionError, match=match), Sample(loaded).capture(**options):
        pytest.fail("the block must not run")


def test_no_modules_are_refused():
    with pytest.raises(OptionError, match="No attention modules"), capture_attention({}, queries=[], keys=[]):
        pytest.fail("the block must not run")


def test_positions_outside_the_sequence_are_refused(loaded):
    sample = Sample(loaded)
    with pytest.raises(OptionError, match="queries up to 4000"), sample.capture(queries=[torch.tensor([4000])]):
        sample.run()


def test_two_passes_in_one_capture_are_refused(loaded):
    sample = Sample(loaded)
    with sample.capture():
        sample.run()
        with pytest.raises(RunFailedError, match="Layer 0 ran twice"):
            sample.run()


def test_maps_of_a_model_that_did_not_run_are_refused(loaded):
    with Sample(loaded).capture() as captured:
        pass
    with pytest.raises(RunFailedError, match="layers 0, 1, 2 was not captured"):
        _ = captured.maps
