import json

import pytest

from headimpact.core.errors import DataFormatError
from headimpact.workflows.evaluation import describe_adapter
from headimpact.workflows.opening import find_adapter


@pytest.fixture
def tuned(tmp_path):
    adapter = tmp_path / "tuned" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "adapter_config.json").write_text("{}")
    return tmp_path / "tuned"


RECORD = {
    "schema": "tuning/1",
    "selection": {"strategy": "random", "layers": [3], "draw": 2, "architecture": {"num_layers": 12}},
    "options": {"seed": 1},
    "trainable_parameters": 10,
    "trainable_share": 0.1,
    "image_hashes": ["a"],
}


def test_an_adapter_is_found_in_a_run_and_in_itself(tuned):
    assert find_adapter(tuned) == find_adapter(tuned / "adapter") == tuned / "adapter"


@pytest.mark.parametrize("name", ["", "other"], ids=["the folder above", "a missing folder"])
def test_a_folder_without_an_adapter_is_named(tuned, name):
    with pytest.raises(DataFormatError, match=r"No adapter at .*adapter_config\.json"):
        find_adapter(tuned.parent / name)


def test_the_base_model_is_an_arm_of_its_own():
    adapter, arm, used = describe_adapter(None)
    assert (adapter, arm["strategy"], used) == (None, "base", {})


@pytest.mark.parametrize("inside", [False, True], ids=["run folder", "adapter folder"])
def test_a_tuning_record_tells_what_a_run_is(tuned, inside):
    (tuned / "tuning.json").write_text(json.dumps(RECORD))
    adapter, arm, used = describe_adapter(tuned / "adapter" if inside else tuned)
    assert adapter == tuned / "adapter"
    assert (arm["strategy"], arm["layers"], arm["draw"], arm["seed"], arm["choosable_layers"]) == (
        "random",
        [3],
        2,
        1,
        12,
    )
    assert used == {"tuned": ["a"], "scored": []}


def test_an_adapter_without_a_record_is_an_arm_without_a_strategy(tuned):
    assert describe_adapter(tuned)[1]["strategy"] == "adapter"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"schema": "tuning/0"}, "tuning/1", id="another schema"),
        pytest.param({"selection": {}}, r"Broken tuning record .*'strategy'", id="no strategy"),
        pytest.param({"selection": None}, "Broken tuning record", id="no selection"),
    ],
)
def test_a_broken_record_is_named(tuned, change, message):
    (tuned / "tuning.json").write_text(json.dumps({**RECORD, **change}))
    with pytest.raises(DataFormatError, match=message):
        describe_adapter(tuned)
