import pytest

from headimpact.core.errors import OptionError
from headimpact.workflows.configs import TuneConfig
from headimpact.workflows.tuning import tuning_options
from tests.unit.report.builders import selection


def options(tmp_path, **changes):
    config = TuneConfig(
        out=tmp_path / "out", data=tmp_path, model="embedded", selection=tmp_path, batch_size=4, **changes
    )
    return tuning_options(config, selection())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({}, "200 steps of 4, 80.0 epochs", id="neither"),
        pytest.param({"max_steps": 5, "gradient_accumulation_steps": 2}, "5 steps of 8, 4.0 epochs", id="steps"),
        pytest.param({"epochs": 2.0}, "6 steps of 4, 2.4 epochs", id="epochs"),
        pytest.param({"epochs": 0.1}, "1 steps of 4, 0.4 epochs", id="part of an epoch"),
    ],
)
def test_a_run_is_as_long_as_was_said(tmp_path, given, said):
    assert options(tmp_path, **given).describe_length(10) == said


def test_steps_and_epochs_contradict_each_other(tmp_path):
    with pytest.raises(OptionError, match=r"max_steps=5 and epochs=1\.0; expected one"):
        options(tmp_path, max_steps=5, epochs=1.0)
