import pytest

from headimpact.core.errors import OptionError
from headimpact.tuning.examples import plan_batches
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
        pytest.param({}, "200 steps, 66.7 epochs", id="neither"),
        pytest.param({"max_steps": 5, "gradient_accumulation_steps": 2}, "5 steps, 3.3 epochs", id="steps"),
        pytest.param({"epochs": 2.0}, "6 steps, 2.0 epochs", id="epochs"),
        pytest.param({"epochs": 0.1}, "1 steps, 0.3 epochs", id="part of an epoch"),
    ],
)
def test_a_run_is_as_long_as_was_said(tmp_path, given, said):
    chosen = options(tmp_path, **given)
    assert chosen.describe_length(10) == said
    seen = sum(map(len, plan_batches(10, chosen))) / 10
    assert float(said.split()[2]) == pytest.approx(seen, abs=0.15)  # a last batch of 2 counts as one of 4


def test_steps_and_epochs_contradict_each_other(tmp_path):
    with pytest.raises(OptionError, match=r"max_steps=5 and epochs=1\.0; expected one"):
        options(tmp_path, max_steps=5, epochs=1.0)
