import json
import math

import pytest

from headimpact.core.errors import DataFormatError, OptionError, UnknownNameError
from headimpact.selection.selection import Selection
from headimpact.selection.strategies import select_layers
from tests.unit.selection.makers import architecture, head_scores


def test_read_back(tmp_path):
    selection = select_layers(head_scores(), strategy="random", k=3, seed=2, draw=4, r=4)
    path = tmp_path / "run" / "selection.json"
    selection.write(path)
    assert Selection.read(path) == selection
    content = json.loads(path.read_text())
    assert content["schema"] == "selection/1"
    assert content["trainable_parameters"] == 3 * 4 * 112
    assert content["trainable_share"] == pytest.approx(3 * 4 * 112 / 100_000)
    assert content["target_module_names"] == list(selection.target_module_names())


def test_layers_named_by_hand_are_a_selection_too(tmp_path):
    selection = Selection(strategy="given", layers=(1, 4), architecture=architecture())
    assert selection.k == 2
    selection.write(tmp_path / "selection.json")
    assert Selection.read(tmp_path / "selection.json") == selection


def test_names_are_those_of_the_language_model():
    selection = Selection(strategy="given", layers=(1, 4), architecture=architecture(), target_modules=("q_proj",))
    assert selection.target_module_names() == (
        "model.language_model.layers.1.self_attn.q_proj",
        "model.language_model.layers.4.self_attn.q_proj",
    )


def test_parameters_worked_by_hand():
    selection = Selection(
        strategy="given", layers=(0, 1, 2), architecture=architecture(), r=2, target_modules=("k_proj", "o_proj")
    )
    assert selection.trainable_parameters() == 3 * 2 * ((32 + 16) + (32 + 32))
    assert selection.trainable_share() == pytest.approx(0.00672)
    assert selection.count_parameters().total == 100_000


def test_a_layer_without_a_value_is_written_as_null(tmp_path):
    selection = Selection(strategy="given", layers=(1,), architecture=architecture(), layer_values=(math.nan,))
    selection.write(tmp_path / "selection.json")
    assert json.loads((tmp_path / "selection.json").read_text())["layer_values"] == [None]
    assert math.isnan(Selection.read(tmp_path / "selection.json").layer_values[0])


BAD = {
    "outside": ({"layers": (8,)}, OptionError, "has 8 layers, 0 to 7"),
    "twice": ({"layers": (1, 1)}, OptionError, "named twice"),
    "out of order": ({"layers": (4, 1)}, OptionError, "Layers out of order"),
    "none": ({"layers": ()}, OptionError, "holds no layer"),
    "rank": ({"r": 0}, OptionError, "at least 1"),
    "module": ({"target_modules": ("gate_proj",)}, UnknownNameError, "gate_proj"),
}


@pytest.mark.parametrize(("changes", "error", "message"), BAD.values(), ids=BAD)
def test_refused(changes, error, message):
    with pytest.raises(error, match=message):
        Selection(**{"strategy": "given", "layers": (1,), "architecture": architecture(), **changes})


DAMAGE = {
    "field missing": (lambda content: content.pop("layers"), "layers"),
    "field unknown": (lambda content: content.update(colour="red"), "colour"),
    "layer outside": (lambda content: content.update(layers=[99]), "Layer 99 is not in the model"),
    "architecture broken": (lambda content: content["architecture"].pop("num_layers"), "architecture block"),
    "layers no list": (lambda content: content.update(layers=3), "select again"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_broken_files_are_refused_by_name(tmp_path, damage, message):
    path = tmp_path / "selection.json"
    select_layers(head_scores()).write(path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(DataFormatError, match=rf"(?s)Cannot use .*selection.json: .*{message}"):
        Selection.read(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "selection.json").write_text('{"schema": "metrics/1"}')
    with pytest.raises(DataFormatError, match="expected 'selection/1'"):
        Selection.read(tmp_path / "selection.json")


HEADS = ((1, 0), (1, 3), (4, 2))


def test_heads_are_written_and_read(tmp_path):
    selection = Selection(strategy="given", layers=(1, 4), heads=HEADS, architecture=architecture(), r=2)
    assert selection.k == 3
    assert selection.trainable_parameters() == 2 * ((32 + 16 + 32 + 16) + (32 + 8 + 32 + 8))
    selection.write(tmp_path / "selection.json")
    assert Selection.read(tmp_path / "selection.json") == selection
    assert json.loads((tmp_path / "selection.json").read_text())["heads"] == [[1, 0], [1, 3], [4, 2]]


def test_files_of_layers_are_as_they_were():
    content = Selection(strategy="given", layers=(1, 4), architecture=architecture()).to_json()
    assert "heads" not in content
    assert Selection.from_json(content).heads is None


@pytest.mark.parametrize(
    ("changes", "helps"),
    [
        pytest.param({"heads": ()}, "no head is given", id="none"),
        pytest.param({"heads": ((1, 4), (4, 0))}, "Head 4 of layer 1", id="outside"),
        pytest.param({"heads": ((1, 0),)}, r"of layers \[1\], the selection says \[1, 4\]", id="other-layers"),
        pytest.param({"heads": HEADS[::-1]}, "out of order", id="order"),
    ],
)
def test_heads_that_do_not_fit_are_refused(changes, helps):
    with pytest.raises(OptionError, match=helps):
        Selection(strategy="given", layers=(1, 4), architecture=architecture(), **changes)


@pytest.mark.parametrize("heads", [[[1]], [1], "x", [[1, "a"]]])
def test_a_file_with_broken_heads_is_refused(heads):
    content = Selection(strategy="given", layers=(1, 4), heads=HEADS, architecture=architecture()).to_json()
    with pytest.raises(DataFormatError, match="Broken selection"):
        Selection.from_json({**content, "heads": heads})
