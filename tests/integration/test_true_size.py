"""The paper's "about 0.01 %", shown by a dry run on a model of true size; no weights are needed."""

import pytest
from transformers import Qwen2_5_VLConfig

from headimpact.models.family import resolve_family
from headimpact.selection.selection import Selection
from tests.builders import coco_folder
from tests.integration.conftest import done


@pytest.fixture(scope="module")
def qwen_3b_config() -> Qwen2_5_VLConfig:
    """Sizes of Qwen2.5-VL-3B-Instruct's `config.json`."""
    text = {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    }
    vision = {"hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048, "depth": 32}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)


def test_four_layers_of_qwen_3b_are_0_0055_percent(qwen_3b_config, tmp_path):
    architecture = resolve_family(qwen_3b_config).architecture(qwen_3b_config)
    assert architecture.total_parameters == 3_754_622_976
    Selection(strategy="top-k", layers=(12, 14, 15, 17), architecture=architecture).write(tmp_path / "selection.json")
    words = ("--model", "Qwen/Qwen2.5-VL-3B-Instruct", "--data", coco_folder(tmp_path / "data", split="train"))
    options = ("--selection", tmp_path, "--r", 8, "--target-modules", "q_proj", "v_proj", "--dry-run")
    answer = done("tune", *words, *options, "--out", tmp_path / "out")
    assert "trainable: 204,800 of 3,754,622,976 parameters (0.0055 %)" in answer.out
    assert "layers: 12 14 15 17" in answer.out
    assert not (tmp_path / "out").exists()
