import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, LlamaConfig

from headimpact.core.errors import DataFormatError, OptionError, UnsupportedModelError
from headimpact.models import checkpoint_files, checkpoints
from headimpact.models.loading import load_model, untrained_twin
from headimpact.models.placement import resolve_device, resolve_dtype


@pytest.fixture
def copied(tiny_checkpoint, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint("llava-siglip"), folder)
    return folder


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_loads_for_evaluation_in_float32_on_a_cpu(tiny_checkpoint):
    loaded = load_model(tiny_checkpoint("llava-siglip"), device="cpu")
    assert loaded.dtype == torch.float32
    assert not loaded.model.training
    assert loaded.family.model_type == "llava"
    assert loaded.adapter is None


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl"])
def test_a_processor_whose_video_part_cannot_be_had_is_built_without(tiny_model, name):
    processor = tiny_model(name).processor
    assert type(processor).__name__ == {"qwen2_vl": "Qwen2VLProcessor", "qwen2_5_vl": "Qwen2_5_VLProcessor"}[name]
    assert type(processor).__module__.startswith("transformers.")
    assert processor.chat_template is not None


def test_a_checkpoint_without_settings_for_videos_loads_too(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint("internvl"), tmp_path / "internvl")
    (folder / "video_preprocessor_config.json").unlink()
    assert type(load_model(folder).processor).__name__ == "InternVLProcessor"


def test_a_short_name_is_a_folder_of_the_package(tiny_checkpoint, monkeypatch):
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"embedded": str(tiny_checkpoint("llava-siglip"))})
    assert load_model("embedded").name == "embedded"
    assert checkpoints.checkpoint_folder("something") is None


@pytest.mark.parametrize(
    ("name", "match"),
    [
        pytest.param("./nowhere/at/all", "Model not found: 'nowhere/at/all' is not a folder", id="no such folder"),
        pytest.param("embeded", "or one of: embedded", id="no such short name"),
        pytest.param("/nowhere", "a hub id", id="absolute path"),
        pytest.param("nobody/nothing", "Cannot load config.json of 'nobody/nothing'", id="hub id while offline"),
    ],
)
def test_a_model_that_is_not_there(name, match):
    with pytest.raises(DataFormatError, match=match):
        load_model(name)


def test_a_folder_without_config(tmp_path):
    with pytest.raises(DataFormatError, match=r"No config.json in .*adapter folder goes to --adapter"):
        load_model(tmp_path)


def test_a_text_only_model(tmp_path):
    LlamaConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="Not a vision-language model: 'llama'"):
        load_model(tmp_path)


def test_a_type_that_transformers_does_not_know(copied):
    edit_config(copied, model_type="lava")
    with pytest.raises(
        UnsupportedModelError, match=r"Unknown model type 'lava' .* Did you mean 'llava'.*does not know it"
    ):
        load_model(copied)


def test_a_broken_config(copied):
    (copied / "config.json").write_text("{")
    with pytest.raises(DataFormatError, match=r"Cannot load config\.json"):
        load_model(copied)


def test_missing_weights_are_refused_not_randomised(copied):
    weights = load_file(copied / "model.safetensors")
    gone = weights.pop("model.language_model.layers.1.self_attn.q_proj.weight", None)
    if gone is None:
        gone = weights.pop("language_model.model.layers.1.self_attn.q_proj.weight")
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataFormatError, match=r"Weights missing .*: 1, first .*q_proj"):
        load_model(copied)


def test_a_truncated_weights_file(copied):
    data = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(data[:1000])
    with pytest.raises(DataFormatError, match="Cannot load weights"):
        load_model(copied)


def test_weights_of_another_size_are_named_with_both_sizes(copied):
    weights = load_file(copied / "model.safetensors")
    name = next(name for name in weights if name.endswith("layers.1.self_attn.q_proj.weight"))
    rows, columns = weights[name].shape
    weights[name] = torch.zeros(rows + 1, columns)
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    match = rf"of another size .*: 1, first '.*q_proj\.weight', {rows + 1} x {columns}; expected {rows} x {columns} by"
    with pytest.raises(DataFormatError, match=match):
        load_model(copied)


def test_a_pointer_of_git_lfs_in_place_of_weights(copied):
    (copied / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataFormatError, match=r"model\.safetensors: it is a pointer of Git LFS\. Run `git lfs pull`"):
        load_model(copied)


def test_no_weights_file(copied):
    (copied / "model.safetensors").unlink()
    with pytest.raises(DataFormatError, match="Cannot load weights"):
        load_model(copied)


@pytest.mark.parametrize("gone", ["tokenizer.json", "processor_config.json"])
def test_missing_processor_files(copied, gone):
    (copied / gone).unlink()
    with pytest.raises(DataFormatError, match="processor"):
        load_model(copied)


def test_no_file_of_the_tokenizer(tiny_checkpoint, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_checkpoint("qwen2_5_vl"), folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(DataFormatError, match=r"No tokenizer in .*Copy tokenizer"):
        load_model(folder)


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"dtype": "float23"}, "Did you mean 'float32'"),
        ({"device": "cuda:99"}, "Device 'cuda:99' cannot be used"),
        ({"device": "gpu"}, r"Device 'gpu' cannot be used: torch \S+ finds cpu.* Pass auto or one of cpu"),
        ({"revision": "v2"}, r"Revision 'v2' was given for the folder .*; expected a hub id"),
        (
            {"attn_implementation": "sdap"},
            r"'sdap' is not to be had for 'llava'\. Did you mean 'sdpa'\?.*eager or sdpa",
        ),
        ({"attn_implementation": "flash_attention_2"}, "Cannot load with attention 'flash_attention_2'"),
    ],
    ids=["dtype", "absent device", "device name", "revision", "attention", "attention that is not installed"],
)
def test_options_that_cannot_be_carried_out(copied, option, match):
    with pytest.raises(OptionError, match=match):
        load_model(copied, **option)


def test_default_number_format():
    assert resolve_dtype("auto", torch.device("cpu")) == torch.float32
    assert resolve_dtype("auto", torch.device("cuda")) == "auto"
    assert resolve_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    assert resolve_device("cpu") == torch.device("cpu")


class TestUntrainedTwin:
    def test_is_seeded_and_leaves_the_global_state(self, tiny_model):
        loaded = tiny_model("llava-siglip")
        state = torch.random.get_rng_state()
        first, again, other = (untrained_twin(loaded, seed).model.state_dict() for seed in (3, 3, 4))
        assert torch.equal(torch.random.get_rng_state(), state)
        name = "model.language_model.layers.0.self_attn.q_proj.weight"
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])
        assert not torch.equal(first[name], loaded.model.state_dict()[name])

    def test_has_the_same_shape_and_spread(self, tiny_model):
        loaded = tiny_model("llava-siglip")
        twin = untrained_twin(loaded, 0)
        assert {name: value.shape for name, value in twin.model.state_dict().items()} == {
            name: value.shape for name, value in loaded.model.state_dict().items()
        }
        weight = twin.model.state_dict()["model.language_model.layers.0.mlp.up_proj.weight"]
        assert weight.std() == pytest.approx(0.2, rel=0.1)
        assert twin.name.endswith("(untrained, seed 0)")
        assert not twin.model.training
        assert twin.config._attn_implementation == loaded.config._attn_implementation

    def test_a_seed_out_of_range(self, tiny_model):
        with pytest.raises(OptionError, match="Seed out of range: got -1"):
            untrained_twin(tiny_model("llava-siglip"), -1)


def test_a_hub_that_is_asked_is_named_before_it_answers(monkeypatch, caplog):
    def no_network(source, **options):
        assert f"Asking the Hugging Face hub for {source}" in caplog.text
        raise OSError("no network")

    monkeypatch.setattr(checkpoint_files, "is_offline_mode", lambda: False)
    monkeypatch.setattr(AutoConfig, "from_pretrained", no_network)
    with caplog.at_level(logging.INFO, logger="headimpact"), pytest.raises(DataFormatError, match="no network"):
        load_model("nobody/nothing", device="cpu")
