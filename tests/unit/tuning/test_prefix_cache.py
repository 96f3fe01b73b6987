import dataclasses
import itertools
import logging

import numpy as np
import peft
import pytest
import torch
from PIL import Image

from headimpact.core.artifacts import read_json
from headimpact.core.errors import OptionError, RunFailedError
from headimpact.models.response_losses import response_losses
from headimpact.tuning import prefix_cache
from headimpact.tuning.language_inputs import encode_batch
from headimpact.tuning.lora import attached_lora, build_lora_config
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.prefix_cache import PrefixCache
from headimpact.tuning.training import tune_adapter
from tests.unit.tuning.makers import examples, selection_for

OPTIONS = TuningOptions(max_steps=4, batch_size=3, learning_rate=1e-2, r=2)
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT's own


def tune(loaded, out, *, listed, layers=(1, 2), cache=None, options=OPTIONS):
    selection = selection_for(loaded.model, layers)
    return tune_adapter(loaded, listed, selection, options=options, out=out, cache=cache, show_progress=False)


def filled(loaded, folder, *, count=5, layer_idx=1):
    cache = PrefixCache(loaded, examples(count), layer_idx=layer_idx, folder=folder)
    cache.fill(range(count))
    return cache


def files_in(folder):
    return sorted(path for path in folder.rglob("*.safetensors"))


@pytest.fixture
def watched(monkeypatch):
    """Count the blocks that are computed."""
    sizes = []

    def watch(loaded, listed, **arguments):
        sizes.append(len(listed))
        return encode_batch(loaded, listed, **arguments)

    monkeypatch.setattr(prefix_cache, "encode_batch", watch)
    return sizes


@pytest.mark.parametrize(
    ("name", "layers", "layer_idx"), [("llava-siglip", (1, 2), 0), ("qwen3_vl", (1, 2), 1), ("mllama", (2,), 2)]
)
def test_tuning_gives_the_same_losses_and_adapter(load_tiny, tmp_path, name, layers, layer_idx):
    loaded, listed = load_tiny(name), examples(5)
    cache = PrefixCache(loaded, listed, layer_idx=layer_idx, folder=tmp_path / "cache")
    options = dataclasses.replace(OPTIONS, gradient_accumulation_steps=2)
    kept = tune(loaded, tmp_path / "kept", listed=listed, layers=layers, cache=cache, options=options)
    plain = tune(loaded, tmp_path / "plain", listed=listed, layers=layers, options=options)
    np.testing.assert_allclose(kept.losses, plain.losses, rtol=0, atol=1e-5)
    one, other = (peft.utils.load_peft_weights(str(result.adapter)) for result in (kept, plain))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    record = read_json(tmp_path / "kept" / "tuning.json", schema="tuning/1")["prefix_cache"]
    assert (record["layer_idx"], record["examples"], record["found"]) == (layer_idx, 5, 0)
    assert record["bytes"] == sum(path.stat().st_size for path in files_in(tmp_path / "cache"))
    assert record["seconds"] > 0


def test_tower_and_layers_below_run_once_an_example(llava, tmp_path):
    calls = []
    layers = llava.family.decoder(llava.model).layers
    hooks = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in {"tower": llava.model.model.vision_tower, 0: layers[0].mlp, 2: layers[2].mlp}.items()
    ]
    listed = examples(5)
    cache = PrefixCache(llava, listed, layer_idx=2, folder=tmp_path / "cache")
    tune(llava, tmp_path / "run", listed=listed, layers=(2,), cache=cache)
    for hook in hooks:
        hook.remove()
    assert calls == ["tower", 0, 2, 2, 2, 2]


def test_a_killed_run_goes_on_with_the_first_block_that_is_not_there(llava, tmp_path, watched, monkeypatch):
    compute, left = PrefixCache._compute, [2]

    def killed(cache, *arguments):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        compute(cache, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PrefixCache, "_compute", killed)
        filled(llava, tmp_path, count=40)
    assert watched == [16, 16]
    whole = filled(llava, tmp_path, count=40)
    assert watched == [16, 16, 8]
    assert (whole.cost.examples, whole.cost.found) == (8, 32)
    whole.fill([3, 39])
    assert watched == [16, 16, 8]


def test_only_blocks_that_are_used_are_computed(llava, tmp_path, watched):
    cache = PrefixCache(llava, examples(40), layer_idx=1, folder=tmp_path)
    cache.fill([17, 39])
    assert watched == [16, 8]
    with pytest.raises(OptionError, match=r"\[3\] are not in the prefix cache. Call fill"):
        cache.batch([17, 3])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"layer_idx": 2}, id="layer"),
        pytest.param({"count": 4}, id="examples"),
        pytest.param({"weight": "model.language_model.layers.0.mlp.up_proj"}, id="layer-below"),
        pytest.param({"weight": "model.vision_tower"}, id="tower"),
        pytest.param({"template": " "}, id="chat-template"),
    ],
)
def test_another_model_layer_or_example_is_computed_anew(llava, tmp_path, watched, change):
    filled(llava, tmp_path)
    watched.clear()
    options, processor = dict(change), llava.processor
    weight, template = options.pop("weight", None), options.pop("template", "")
    before = processor.chat_template
    parameter = next(llava.model.get_submodule(weight).parameters()) if weight else torch.zeros(1)
    with torch.no_grad():
        parameter.view(-1)[0] += 1
        processor.chat_template = before + template
        filled(llava, tmp_path, **options)
        processor.chat_template = before
        parameter.view(-1)[0] -= 1
    assert watched == [options.get("count", 5)]


def test_another_setting_of_the_same_weights_is_computed_anew(llava, tmp_path, watched, monkeypatch):
    filled(llava, tmp_path)
    monkeypatch.setattr(llava.config.text_config, "rms_norm_eps", 0.1)
    filled(llava, tmp_path)
    assert watched == [5, 5]


@pytest.mark.parametrize("part", ["layers.1.mlp.up_proj", "layers.2.self_attn.q_proj"])
def test_weights_of_the_layer_and_later_ones_do_not_matter(llava, tmp_path, watched, part):
    filled(llava, tmp_path)
    parameter = next(llava.model.model.language_model.get_submodule(part).parameters())
    with torch.no_grad():
        parameter[0, 0] += 1
        filled(llava, tmp_path)
        parameter[0, 0] -= 1
    assert watched == [5]


def test_other_pixels_under_the_same_name_are_computed_anew(llava, tmp_path, watched):
    filled(llava, tmp_path)
    other = [dataclasses.replace(one, load_image=lambda: Image.new("RGB", (50, 50))) for one in examples(5)]
    PrefixCache(llava, other, layer_idx=1, folder=tmp_path).fill([0])
    assert watched == [5, 5]
    assert len(files_in(tmp_path)) == 2


def test_random_pictures_are_refused(llava, tmp_path):
    shades = itertools.count()
    listed = [
        dataclasses.replace(one, load_image=lambda: Image.new("L", (50, 50), next(shades)).convert("RGB"))
        for one in examples(2)
    ]
    with pytest.raises(OptionError, match=r"'picture-0' changes from look to look.*--prefix-cache off"):
        PrefixCache(llava, listed, layer_idx=1, folder=tmp_path).fill([0])
    assert files_in(tmp_path) == []


def test_the_cost_is_said_after_the_first_block_and_before_the_rest(llava, tmp_path, caplog, watched):
    with caplog.at_level(logging.INFO, logger="headimpact"):
        cache = PrefixCache(llava, examples(40), layer_idx=1, folder=tmp_path)
        cache.fill(range(40))
        message = caplog.messages[0]
        assert "enters layer 1 is kept for 40 examples" in message
        assert "computing the other 24 takes about" in message
        assert str(tmp_path) in message
    assert len(caplog.messages) == 1


def test_space_is_refused_after_the_first_block(llava, tmp_path, watched):
    cache = PrefixCache(llava, examples(40), layer_idx=1, folder=tmp_path, max_bytes=100_000)
    with pytest.raises(OptionError, match=r"for 40 examples; 0.00 GB are allowed.*--prefix-cache-gb"):
        cache.fill(range(40))
    assert watched == [16]


def test_rows_are_kept_in_the_models_number_format(llava, tmp_path):
    half = dataclasses.replace(llava, model=llava.model.bfloat16(), dtype=torch.bfloat16)
    try:
        cache = filled(half, tmp_path)
        assert cache.batch([0, 1]).inputs["inputs_embeds"].dtype == torch.bfloat16
    finally:
        llava.model.float()


def test_losses_of_arms_that_share_the_prefix(llava, tmp_path, load_tiny):
    listed = examples(5)
    cache = filled(llava, tmp_path, layer_idx=1)
    batch = encode_batch(llava, listed)
    with torch.no_grad():
        base = response_losses(llava.model, batch.inputs, batch.labels)
    torch.testing.assert_close(cache.losses(llava, range(5), batch_size=2), base, rtol=0, atol=1e-5)
    for layers, shares in [((1,), True), ((2,), True), ((0, 2), False)]:
        config = build_lora_config(selection_for(llava.model, layers), r=2, init_lora_weights=False)
        with attached_lora(llava.model, config) as attached:
            arm = dataclasses.replace(llava, model=attached)
            if not shares:
                with pytest.raises(OptionError, match="differs below layer 1, or has an adapter there"):
                    cache.losses(arm, [0])
                continue
            with torch.no_grad():
                expected = response_losses(attached, batch.inputs, batch.labels)
            torch.testing.assert_close(cache.losses(arm, range(5)), expected, rtol=0, atol=1e-5)
            assert not torch.allclose(expected, base)


@pytest.mark.parametrize("layer_idx", [-1, 3])
def test_a_layer_outside_the_model_is_refused(llava, tmp_path, layer_idx):
    with pytest.raises(OptionError, match="expected one of 0 to 2"):
        PrefixCache(llava, examples(1), layer_idx=layer_idx, folder=tmp_path)


def test_a_cache_above_a_tuned_layer_is_refused(llava, tmp_path):
    listed = examples(5)
    cache = PrefixCache(llava, listed, layer_idx=2, folder=tmp_path / "cache")
    with pytest.raises(OptionError, match="begins at layer 2, above the lowest tuned layer, 1"):
        tune(llava, tmp_path / "run", listed=listed, layers=(1, 2), cache=cache)
    with pytest.raises(OptionError, match="of another model or list of examples"):
        tune(llava, tmp_path / "run", listed=listed[::-1], layers=(2,), cache=cache)


def test_a_broken_file_is_named(llava, tmp_path):
    cache = filled(llava, tmp_path)
    (path,) = files_in(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunFailedError, match=rf"Cannot read {path}.*Delete the file"):
        cache.batch([0])
