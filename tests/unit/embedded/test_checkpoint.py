import json
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from headimpact.embedded import checkpoint_path
from headimpact.embedded.measuring import generate_answers
from headimpact.embedded.scenes import TASKS, draw_scene


@pytest.fixture(scope="module")
def shipped():
    processor = AutoProcessor.from_pretrained(checkpoint_path())
    model = AutoModelForImageTextToText.from_pretrained(checkpoint_path())
    return model.eval(), processor


def test_the_path_is_found_without_torch():
    code = "import sys; from headimpact.embedded import checkpoint_path as find; print(find(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{checkpoint_path()} False"


def test_the_folder_is_small_and_holds_no_pickle():
    files = [path for path in checkpoint_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".jinja"}


def test_the_architecture_is_what_was_asked_for(shipped):
    model, processor = shipped
    text = model.config.text_config
    assert (text.num_hidden_layers, text.num_attention_heads, text.num_key_value_heads) == (12, 8, 4)
    assert model.dtype == torch.float32
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert json.loads((checkpoint_path() / "config.json").read_text())["image_seq_length"] == 100
    scene = draw_scene(task="describe", split="test", index=0, seed=0)
    inputs = processor(images=scene.pixels, text="<s>User: <image>\nHi\nAssistant:", return_tensors="pt")
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 100


def test_captions_name_the_key_object(shipped):
    model, processor = shipped
    scenes = [draw_scene(task="describe", split="validation", index=index, seed=77) for index in range(48)]
    answers = generate_answers(model, processor, scenes=scenes, prompts=[TASKS["describe"].prompt] * len(scenes))
    right = [
        {scene.key_object.colour, scene.key_object.shape} <= set(answer.split())
        for answer, scene in zip(answers, scenes, strict=True)
    ]
    assert sum(right) / len(right) >= 0.95
