"""Every preset that ships can be carried out, and those of a protocol are what it says."""

from pathlib import Path

import pytest
import yaml
from transformers import PaliGemmaConfig, PretrainedConfig, Qwen2_5_VLConfig, Qwen2VLConfig
from transformers.models.smolvlm import SmolVLMConfig

from headimpact.cli.main import main
from headimpact.embedded.scenes import build_scenes
from tests.integration.conftest import done, run

PRESETS = Path(__file__).parents[2] / "src/headimpact/cli/presets"
STUDIES = sorted(PRESETS.glob("study_*.yaml"))
EXPERIMENTS = sorted(PRESETS.glob("experiment_*.yaml"))
MODELS = sorted(set(PRESETS.glob("*.yaml")) - {*STUDIES, *EXPERIMENTS})
PROTOCOL = (Path(__file__).parents[2] / "docs/protocol.md").read_text(encoding="utf-8")
STUDY, _, BROAD = PROTOCOL.partition("# Protocol of the check of causes")
BROAD = BROAD.partition("# Protocol of the experiment")[2]


@pytest.mark.parametrize("path", STUDIES + EXPERIMENTS, ids=lambda path: path.stem)
def test_a_preset_passes_a_dry_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([path.stem.partition("_")[0], "--config", str(path), "--dry-run"]) == 0
    assert "r = 8: 2 of 12 layers, trainable: 7,168 of 3,157,248 parameters (0.23 %)" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_preset_holds_what_the_protocol_says(path):
    preset = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert f"{preset['calibration']} for `calibration`" in STUDY
    assert f"{preset['train']:,} for `train`" in STUDY
    assert f"{preset['test']} for `test`" in STUDY
    assert f"k = {preset['k']} of 12" in STUDY
    assert f"r = {preset['r']}, alpha = 16" in STUDY
    assert f"Margin: {preset['margin']}" in STUDY
    assert f"{preset['depth_matched_draws']} depth-matched draws" in STUDY
    rate = f"{preset['learning_rate']:.0e}".replace("e-0", "e-")
    settled = f"**{preset['max_steps']} steps of {preset['batch_size']} pictures at a peak learning rate of {rate}**"
    assert settled in STUDY
    assert f"**{preset['primary'].replace('_', ' ')}**" in STUDY


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_preset_of_the_experiment_holds_what_its_protocol_says(path):
    preset = yaml.safe_load(path.read_text(encoding="utf-8"))
    is_asked = preset.get("tune_task") == "vqa"
    assert f"{preset['calibration']} for `calibration`" in BROAD
    sizes = f"{preset['train']} and {preset['test']} with all" if is_asked else "1,024 for `train` and 96 for `test`"
    assert sizes in " ".join(BROAD.split())
    assert is_asked or (preset["train"], preset["test"]) == (1024, 96)
    assert f"{preset['random_draws']} random draws; {preset['depth_matched_draws']} depth-matched draws" in BROAD
    assert f"k = {preset['k']} of 12 layers at r = {preset['r']}, alpha = {preset['lora_alpha']} on q and v" in BROAD
    assert f"{preset['max_steps']} steps of {preset['batch_size']} pictures or questions" in BROAD
    assert (preset["seeds"], "Tuning seeds 0, 1 and 2" in BROAD) == (3, True)
    assert (f"{preset['learning_rate']:.0e}", "Learning rate: 2e-2 for all three" in BROAD) == ("2e-02", True)
    assert f"**{preset['primary'].replace('_', ' ')}**" in BROAD
    assert f"Margin {preset['margin']}" in BROAD


def test_there_is_a_preset_for_each_task_of_the_protocols():
    assert [path.stem for path in STUDIES] == ["study_where", "study_wording"]
    assert [path.stem for path in EXPERIMENTS] == ["experiment_vqa", "experiment_where", "experiment_wording"]


def published_configs() -> dict[str, PretrainedConfig]:
    """Give the sizes of the published checkpoints' `config.json`; weights are not needed to count parameters."""
    qwen = {"vocab_size": 151_936, "num_key_value_heads": 2, "tie_word_embeddings": True}
    seen = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    return {
        "qwen2_vl_2b": Qwen2VLConfig(
            text_config={
                **qwen, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
                "num_attention_heads": 12,
            },
            vision_config={"depth": 32, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4},
            tie_word_embeddings=True,
        ),
        "qwen2_5_vl_3b": Qwen2_5_VLConfig(
            text_config={
                **qwen, "hidden_size": 2048, "intermediate_size": 11_008, "num_hidden_layers": 36,
                "num_attention_heads": 16,
            },
            vision_config={"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048, "depth": 32},
            tie_word_embeddings=True,
        ),
        "smolvlm2_2b": SmolVLMConfig(
            text_config={
                "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 24,
                "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 49_280,
            },
            vision_config={**seen, "image_size": 384, "patch_size": 14},
            scale_factor=3,
        ),
        "paligemma2_3b": PaliGemmaConfig(
            text_config={
                "model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
                "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 257_216,
            },
            vision_config={**seen, "model_type": "siglip_vision_model", "patch_size": 14, "image_size": 224},
            projection_dim=2304,
        ),
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Give a data folder with questions that stands for COCO's."""
    counts = {"calibration": 2, "train": 2, "validation": 2, "test": 2}
    return build_scenes(tmp_path_factory.mktemp("scenes") / "data", task="where", counts=counts, seed=0)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_preset_for_a_published_model_trains_about_a_ten_thousandth(path, data, tmp_path):
    published_configs()[path.stem].save_pretrained(tmp_path / "model")
    words = ("experiment", "--config", path, "--model", tmp_path / "model", "--data", data, "--dry-run")
    answer = done(*words, "--json").json
    (share,) = answer["trainable_share"].values()
    assert share == pytest.approx(1e-4, rel=0.2)
    assert answer["memory_bytes"] < 20e9  # one GPU of 24 GB
    assert answer["operations"] > 0
    text = done(*words).out
    assert "4 of " in text
    assert "PFLOP" in text


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_preset_that_is_not_filled_in_says_all_that_is_missing(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = run("experiment", "--config", path, "--model", "nowhere", "--dry-run", "--primary", "cidr_d", "bleu_4")
    assert answer.code == 2
    assert answer.errors[0].startswith("headimpact: error: The experiment has 3 faults")
    text = "\n".join(answer.errors[1:])
    assert "Did you mean 'cider_d'" in text
    assert "'nowhere'" in text
    assert "Data folder not found: FILL_IN/coco_key_objects" in text
    assert "headimpact dataset build coco" in text
    assert not list(tmp_path.iterdir())


def test_every_model_of_a_preset_is_a_tested_checkpoint_of_its_family():
    from headimpact.models.family import resolve_family

    found = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["model"] for path in MODELS}
    configs = published_configs()
    assert set(found) == set(configs)
    assert all(found[name] in resolve_family(config).checkpoints for name, config in configs.items())
