"""Loading checkpoints: what fits, and one line for whatever does not."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig

from headimpact.annotation.annotators import DETECTORS, SEGMENTERS, TEXT_SEGMENTERS
from headimpact.annotation.loading import load_detector, load_segmenter, load_text_segmenter
from headimpact.core.errors import DataFormatError, MissingExtraError, OptionError, UnsupportedModelError
from tests.unit.annotation import makers

LOADERS = {
    "detector": (load_detector, makers.save_grounding_dino),
    "segmenter": (load_segmenter, makers.save_sam2),
}


@pytest.fixture(params=LOADERS)
def kind(request, tmp_path):
    load, save = LOADERS[request.param]
    save(tmp_path)
    return load, tmp_path


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder, edit):
    path = folder / "model.safetensors"
    weights = load_file(path)
    edit(weights)
    save_file(weights, path, metadata={"format": "pt"})


def test_loads_for_evaluation_with_the_checkpoints_weights(kind):
    load, folder = kind
    loaded = load(folder, device="cpu")
    loaded.model.save_pretrained(folder / "again")
    saved, again = (load_file(path / "model.safetensors") for path in (folder, folder / "again"))
    assert not loaded.model.training
    assert saved.keys() == again.keys()
    assert all(torch.equal(again[name], value) for name, value in saved.items())
    assert loaded.describe() == {"model": str(folder), "revision": None, "device": "cpu", "dtype": "float32"}


def test_number_format(kind):
    load, folder = kind
    assert load(folder, device="cpu", dtype="bfloat16").describe()["dtype"] == "bfloat16"


def test_pictures_are_prepared_by_pillow(tmp_path):
    makers.save_grounding_dino(tmp_path)
    processor = load_detector(tmp_path, device="cpu").processor
    assert type(processor).__name__ == "GroundingDinoProcessor"
    assert processor.image_processor.backend == "pil"


def test_the_video_model_is_taken_for_its_picture_part(tmp_path):
    makers.save_sam2_video(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "sam2_video"
    loaded = load_segmenter(tmp_path, device="cpu")
    saved = load_file(tmp_path / "model.safetensors")
    assert type(loaded.model).__name__ == "Sam2Model"
    assert all(torch.equal(value, saved[name]) for name, value in loaded.model.state_dict().items())


def test_defaults_and_licences():
    assert DETECTORS[0].name == "IDEA-Research/grounding-dino-tiny"
    assert SEGMENTERS[0].name == "facebook/sam2.1-hiera-tiny"
    assert TEXT_SEGMENTERS[0].name == "facebook/sam3"
    assert {checkpoint.licence for checkpoint in (*DETECTORS, *SEGMENTERS)} == {"Apache-2.0"}


@pytest.mark.parametrize(
    ("name", "match"),
    [
        pytest.param("./nowhere/at/all", "Model not found: './nowhere/at/all' is not a folder. Pass", id="no folder"),
        pytest.param("sam", "or a hub id such as", id="short name"),
        pytest.param("nobody/nothing", r"Cannot load config.json of 'nobody/nothing'.*such as '", id="while offline"),
    ],
)
@pytest.mark.parametrize("load", [load_detector, load_segmenter], ids=["detector", "segmenter"])
def test_a_model_that_is_not_there(load, name, match):
    with pytest.raises(DataFormatError, match=match):
        load(name)


def test_a_folder_without_config(kind):
    load, folder = kind
    (folder / "config.json").unlink()
    with pytest.raises(DataFormatError, match=r"No config.json in .*as save_pretrained writes it"):
        load(folder)


def test_a_broken_config(kind):
    load, folder = kind
    (folder / "config.json").write_text("{")
    with pytest.raises(DataFormatError, match=r"Cannot load config.json"):
        load(folder)


def test_another_kind_of_model(tmp_path):
    LlamaConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"of type 'llama'. Expected an open-vocabulary detector \(groundi"):
        load_detector(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"of type 'llama'. Expected a SAM 2 \(sam2 or sam2_video\)"):
        load_segmenter(tmp_path)


def test_a_type_that_transformers_does_not_know(kind):
    load, folder = kind
    edit_config(folder, model_type="sam99")
    with pytest.raises(UnsupportedModelError, match=r"sam99.* Expected an? .* such as '"):
        load(folder)


def test_no_code_of_a_checkpoint_is_run(kind):
    load, folder = kind
    edit_config(folder, model_type="own", auto_map={"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"})
    (folder / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UnsupportedModelError, match=r"Unknown model type 'own' in config\.json"):
        load(folder)


def test_weights_that_are_not_safetensors(kind):
    load, folder = kind
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(DataFormatError, match=r"Cannot load weights .*Expected safetensors files"):
        load(folder)


def test_broken_weights(kind):
    load, folder = kind
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataFormatError, match="Cannot load weights"):
        load(folder)


def test_missing_weights(kind):
    load, folder = kind
    names = []

    def drop(weights):
        names.append(next(name for name in sorted(weights) if name.endswith("weight") and "decoder" in name))
        del weights[names[0]]

    edit_weights(folder, drop)
    with pytest.raises(DataFormatError, match=r"Weights missing in .*: 1, first .*They would be random"):
        load(folder)


def test_weights_of_another_shape(kind):
    load, folder = kind

    def cut(weights):
        name = next(name for name in sorted(weights) if name.endswith("weight") and weights[name].ndim == 2)
        weights[name] = weights[name][:1].contiguous()

    edit_weights(folder, cut)
    with pytest.raises(DataFormatError, match="Weights of another size in"):
        load(folder)


def test_a_missing_processor(kind):
    load, folder = kind
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(DataFormatError, match=r"Cannot load the processor .*Expected preprocessor_config.json or"):
        load(folder)


def test_a_tokenizer_that_separates_phrases_elsewhere(tmp_path):
    makers.save_grounding_dino(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["."], vocabulary["dog"] = vocabulary["dog"], vocabulary["."]
    path.write_text(json.dumps(content))
    with pytest.raises(DataFormatError, match=r"does not fit 'grounding-dino'.*expected BERT's.*Copy the tokenizer's"):
        load_detector(tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"device": "cuda:99"}, r"Device 'cuda:99' cannot be used.*Pass auto or one of cpu", id="device"),
        pytest.param({"dtype": "float8"}, "Unknown dtype 'float8'. .*Known: auto", id="dtype"),
    ],
)
def test_options_that_cannot_be_had(kind, options, match):
    load, folder = kind
    with pytest.raises(OptionError, match=match):
        load(folder, **options)


def test_sam3_without_torchvision(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"SAM 3 needs the package 'torchvision'.*load_segmenter"):
        load_text_segmenter(tmp_path)


def test_sam3_must_be_one(tmp_path):
    pytest.importorskip("torchvision", reason="SAM 3 needs torchvision", exc_type=ImportError)
    makers.save_sam2(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"of type 'sam2'. Expected a SAM 3 \(sam3 or sam3_video\)"):
        load_text_segmenter(tmp_path)
