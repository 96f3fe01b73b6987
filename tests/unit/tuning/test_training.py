import copy
import dataclasses
import json

import numpy as np
import peft
import pytest
import torch

from headimpact.core.artifacts import read_json
from headimpact.core.errors import OptionError, OutputInUseError, RunFailedError, UnknownNameError
from headimpact.core.provenance import hash_texts
from headimpact.selection.selection import Selection
from headimpact.tuning import batch_loader, training
from headimpact.tuning.language_inputs import LanguageInputCache, encode_batch
from headimpact.tuning.loss import answer_loss
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.training import tune_adapter
from tests.unit.tuning.makers import examples, selection_for

OPTIONS = TuningOptions(max_steps=4, batch_size=3, learning_rate=1e-2, r=2)
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT's own


def tune(loaded, out, *, layers=(1,), listed=None, **arguments):
    return tune_adapter(
        loaded,
        examples(5) if listed is None else listed,
        selection_for(loaded.model, layers),
        **{"options": OPTIONS, "out": out, "show_progress": False, **arguments},
    )


def adapter_bytes(result):
    return (result.adapter / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl"])
def test_loss_falls_and_plain_peft_loads_the_adapter(load_tiny, tmp_path, name):
    loaded, listed = load_tiny(name), examples(4)
    result = tune(loaded, tmp_path, layers=(0, 1, 2), listed=listed, options=dataclasses.replace(OPTIONS, max_steps=25))
    assert len(result.losses) == 25
    assert np.mean(result.losses[-4:]) < 0.8 * np.mean(result.losses[:4])
    batch = encode_batch(loaded, listed)
    with torch.no_grad():
        untuned = answer_loss(loaded.model, batch.inputs, batch.labels)
        reloaded = peft.PeftModel.from_pretrained(loaded.model, str(result.adapter))
        tuned = answer_loss(reloaded, batch.inputs, batch.labels)
        reloaded.unload()
    assert tuned < 0.8 * untuned


def test_saved_adapter_gives_the_logits_of_the_trained_one(llava, tmp_path, monkeypatch):
    batch = encode_batch(llava, examples(2))
    trained = []
    save = peft.PeftModel.save_pretrained

    def watch(model, *args, **kwargs):
        with torch.no_grad():
            trained.append(model.eval()(**batch.inputs).logits)
        return save(model, *args, **kwargs)

    monkeypatch.setattr(peft.PeftModel, "save_pretrained", watch)
    result = tune(llava, tmp_path)
    reloaded = peft.PeftModel.from_pretrained(llava.model, str(result.adapter))
    with torch.no_grad():
        again = reloaded.eval()(**batch.inputs).logits
        reloaded.unload()
        base = llava.model(**batch.inputs).logits
    assert torch.equal(trained[0], again)
    assert not torch.allclose(base, again, atol=1e-3)


def test_base_model_is_bit_equal_and_many_arms_fit_one_process(llava, tmp_path):
    before = {name: value.clone() for name, value in llava.model.state_dict().items()}
    kinds = [type(module) for module in llava.model.modules()]
    settings = dict(vars(llava.config))
    first = tune(llava, tmp_path / "first")
    tune(llava, tmp_path / "other", layers=(0, 2))
    again = tune(llava, tmp_path / "again")
    after = llava.model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert kinds == [type(module) for module in llava.model.modules()]
    assert settings == vars(llava.config)
    assert not any(module.training for module in llava.model.modules())
    assert first.losses == again.losses
    assert adapter_bytes(first) == adapter_bytes(again)


def _seed_all() -> None:
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)


def test_seed_decides_and_global_randomness_is_left_alone(llava, tmp_path):
    _seed_all()
    expected = np.random.rand(), torch.rand(1)  # noqa: NPY002 - the global state is the point
    _seed_all()
    one = tune(llava, tmp_path / "one")
    assert (np.random.rand(), torch.rand(1)) == expected  # noqa: NPY002
    two = tune(llava, tmp_path / "two", options=dataclasses.replace(OPTIONS, seed=1))
    assert one.losses != two.losses


def test_arms_with_other_layers_see_the_same_batches(llava, tmp_path, monkeypatch):
    seen: list[list[str]] = []

    def watch(loaded, batch):
        seen.append([example.image_id for example in batch])
        return encode_batch(loaded, batch)

    monkeypatch.setattr(batch_loader, "encode_batch", watch)
    tune(llava, tmp_path / "a", layers=(0,))
    tune(llava, tmp_path / "b", layers=(1, 2), options=dataclasses.replace(OPTIONS, learning_rate=1e-4, r=4))
    assert len(seen) == 8
    assert seen[:4] == seen[4:]


@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl"])
def test_kept_language_inputs_change_no_loss(load_tiny, tmp_path, name):
    loaded, listed = load_tiny(name), examples(5)
    cache = LanguageInputCache(loaded, listed)
    plain = tune(loaded, tmp_path / "plain", listed=listed)
    kept = tune(loaded, tmp_path / "kept", listed=listed, cache=cache)
    tune(loaded, tmp_path / "other", listed=listed, cache=cache, layers=(0,))
    np.testing.assert_allclose(kept.losses, plain.losses, rtol=0, atol=1e-5)
    assert read_json(tmp_path / "kept" / "tuning.json", schema="tuning/1")["language_inputs_kept"] is True


def test_accumulation_equals_one_large_batch(llava, tmp_path):
    # Six examples, so that two batches of three hold what one batch of six holds; every token weighs the same.
    listed = examples(6)
    large = tune(llava, tmp_path / "large", listed=listed, options=dataclasses.replace(OPTIONS, batch_size=6))
    small = dataclasses.replace(OPTIONS, gradient_accumulation_steps=2)
    parts = tune(llava, tmp_path / "parts", listed=listed, options=small)
    np.testing.assert_allclose(parts.losses, large.losses, rtol=0, atol=2e-5)


def test_record(llava, tmp_path):
    listed = examples(5)
    result = tune(llava, tmp_path, listed=listed, options=dataclasses.replace(OPTIONS, max_steps=1))
    record = read_json(tmp_path / "tuning.json", schema="tuning/1")
    # One layer, r = 2, on a width of 32: q 2 x (32 + 32), v 2 x (32 + 16).
    assert record["trainable_parameters"] == result.count.trainable == 224
    assert record["total_parameters"] == sum(parameter.numel() for parameter in llava.model.parameters())
    assert record["trainable_share"] == pytest.approx(224 / record["total_parameters"])
    assert record["losses"] == list(result.losses)
    assert record["steps"] == 1
    assert record["options"]["batch_size"] == 3
    assert record["selection"]["layers"] == [1]
    assert record["seconds"] >= 0
    assert record["peak_memory_bytes"] > 0
    # One step of three examples: only they were trained on.
    assert len(record["image_hashes"]) == 3
    assert set(record["image_hashes"]) <= {hash_texts([example.image_id]) for example in listed}
    assert record["provenance"]["dtype"] == "float32"
    assert record["provenance"]["seed"] == 0


def test_nothing_is_printed_and_no_other_file_is_written(llava, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tune(llava, tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "run/tuning.json",
        "run/adapter/README.md",
        "run/adapter/adapter_config.json",
        "run/adapter/adapter_model.safetensors",
    }


def test_progress_goes_to_stderr(llava, tmp_path, capfd):
    tune(llava, tmp_path, show_progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "4/4" in shown.err
    assert "loss" in shown.err


def test_bfloat16_model_trains_a_float32_adapter(llava, tmp_path):
    half = dataclasses.replace(llava, model=llava.model.bfloat16(), dtype=torch.bfloat16)
    try:
        result = tune(half, tmp_path, options=dataclasses.replace(OPTIONS, max_steps=20))
    finally:
        llava.model.float()
    assert np.mean(result.losses[-3:]) < np.mean(result.losses[:3])
    header = json.loads(adapter_bytes(result)[8:].split(b"\x00")[0].decode("latin-1").split("}}")[0] + "}}")
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {"F32"}


def test_dropout_is_seeded(llava, tmp_path):
    options = dataclasses.replace(OPTIONS, lora_dropout=0.5)
    one, two = (tune(llava, tmp_path / name, options=options) for name in ("one", "two"))
    assert one.losses == two.losses
    assert one.losses != tune(llava, tmp_path / "none").losses


def test_nan_loss_stops_naming_the_step_and_leaves_nothing(llava, tmp_path):
    listed = examples(5)
    poisoned = dataclasses.replace(OPTIONS, learning_rate=1e30, max_grad_norm=0, lora_alpha=1e20)
    message = (
        rf"Tuning of {tmp_path}/run \(top-k, layers 1\) diverged in step [2-4] of 4: the loss is .*, expected a finite "
        r"number\. Lower --learning-rate \(now 1e\+30\), lengthen --warmup-ratio"
    )
    with pytest.raises(RunFailedError, match=message):
        tune(llava, tmp_path / "run", listed=listed, options=poisoned)
    assert not (tmp_path / "run").exists()
    # The next arm is untouched by it.
    clean = tune(llava, tmp_path / "next", listed=listed)
    assert np.isfinite(clean.losses).all()


def test_broken_weights_of_the_last_step_are_noticed(llava, tmp_path, monkeypatch):
    def breaking(attached, *_, **__):
        next(parameter for parameter in attached.parameters() if parameter.requires_grad).data.fill_(float("nan"))

    monkeypatch.setattr(training, "train_answers", breaking)
    with pytest.raises(RunFailedError, match=r"run \(top-k.*diverged in its last step .*lora_.* is not finite"):
        tune(llava, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_out_of_memory_becomes_advice(llava, tmp_path, monkeypatch):
    def exhausted(*_, **__):
        raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")

    monkeypatch.setattr(training, "train_answers", exhausted)
    with pytest.raises(RunFailedError, match=r"step 1 with batch_size=3.*2.00 GiB.*Lower --batch-size"):
        tune(llava, tmp_path)


@pytest.mark.parametrize("used", ["adapter/file", "tuning.json"])
def test_used_folder_is_refused_before_training(llava, tmp_path, used, monkeypatch):
    monkeypatch.setattr(training, "train_answers", lambda *_, **__: pytest.fail("trained"))
    (tmp_path / used).parent.mkdir(exist_ok=True)
    (tmp_path / used).write_text("mine")
    with pytest.raises(OutputInUseError, match="--overwrite"):
        tune(llava, tmp_path)
    assert (tmp_path / used).read_text() == "mine"


def test_overwrite_replaces_and_other_files_stay(llava, tmp_path):
    first = tune(llava, tmp_path)
    (tmp_path / "config.yaml").write_text("kept")
    old = adapter_bytes(first)
    second = tune(llava, tmp_path, options=dataclasses.replace(OPTIONS, seed=3), overwrite=True)
    assert adapter_bytes(second) != old
    assert (tmp_path / "config.yaml").read_text() == "kept"


@pytest.mark.parametrize(
    ("change", "error", "helps"),
    [
        pytest.param({"layers": ()}, OptionError, "holds no layer", id="empty-selection"),
        pytest.param({"layers": (9,)}, OptionError, "Layer 9 is not in the model", id="layer-outside"),
        pytest.param({"listed": []}, OptionError, "got 0 examples", id="no-examples"),
        pytest.param(
            {"options": dataclasses.replace(OPTIONS, target_modules=("q_prj",))},
            UnknownNameError,
            "Did you mean 'q_proj'",
            id="unknown-projection",
        ),
    ],
)
def test_refusals(llava, tmp_path, change, error, helps):
    with pytest.raises(error, match=helps):
        tune(llava, tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_cache_of_other_examples_is_refused(llava, tmp_path):
    cache = LanguageInputCache(llava, examples(5))
    with pytest.raises(OptionError, match="of another model or list of examples"):
        tune(llava, tmp_path, listed=examples(5, seed=1), cache=cache)


def test_heads_are_tuned_and_other_heads_keep_every_bit(llava, tmp_path):
    of = selection_for(llava.model, (0, 2)).architecture
    chosen = Selection(strategy="given", layers=(0, 2), heads=((0, 1), (2, 0), (2, 3)), architecture=of, r=2)
    options = dataclasses.replace(
        OPTIONS, max_steps=6, weight_decay=0.1, lora_dropout=0.1, target_modules=("q_proj", "o_proj")
    )
    result = tune_adapter(llava, examples(5), chosen, options=options, out=tmp_path, show_progress=False)
    counted = dataclasses.replace(chosen, target_modules=options.target_modules).count_parameters()
    assert result.count == counted
    before = {name: weight.clone() for name, weight in llava.model.named_parameters()}
    reloaded = peft.PeftModel.from_pretrained(copy.deepcopy(llava.model), str(result.adapter))
    after = dict(reloaded.merge_and_unload().named_parameters())
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name])}
    assert {name.removesuffix(".weight") for name in changed} == {
        of.module_name(layer_idx, name) for layer_idx in (0, 2) for name in ("q_proj", "o_proj")
    }
    width = of.projections["q_proj"][1] // of.num_heads
    for layer_idx, heads in {0: [1], 2: [0, 3]}.items():
        for name, axis in (("q_proj", 1), ("o_proj", 0)):
            weight = f"{of.module_name(layer_idx, name)}.weight"
            moved = (after[weight] != before[weight]).any(dim=axis).view(of.num_heads, width)
            assert [head for head in range(of.num_heads) if moved[head].any()] == heads
    record = read_json(tmp_path / "tuning.json", schema="tuning/1")
    assert record["trainable_parameters"] == counted.trainable
    assert Selection.from_json(record["selection"]) == chosen


def test_options_that_reach_other_heads_are_refused_before_training(llava, tmp_path):
    of = selection_for(llava.model, (0,)).architecture
    chosen = Selection(strategy="given", layers=(0,), heads=((0, 1),), architecture=of)
    options = dataclasses.replace(OPTIONS, peft_options={"use_dora": True})
    with pytest.raises(OptionError, match="refused for heads"):
        tune_adapter(llava, examples(2), chosen, options=options, out=tmp_path, show_progress=False)
    assert not (tmp_path / "adapter").exists()
