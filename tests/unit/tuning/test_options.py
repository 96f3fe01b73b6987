import dataclasses
import json

import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.tuning.options import ONLY_PYTHON, TuningOptions
from headimpact.workflows.configs import TuneConfig


@pytest.mark.parametrize(
    ("options", "num_examples", "expected"),
    [
        pytest.param({"max_steps": 7}, 3, 7, id="steps-given"),
        pytest.param({}, 16, 2, id="one-epoch-by-default"),
        pytest.param({"epochs": 1, "batch_size": 4}, 10, 3, id="last-batch-smaller"),
        pytest.param({"epochs": 0.5, "batch_size": 4}, 10, 2, id="half-an-epoch-rounded-up"),
        pytest.param({"epochs": 3, "batch_size": 4, "gradient_accumulation_steps": 2}, 10, 5, id="accumulation"),
        pytest.param({"epochs": 0.001}, 8, 1, id="at-least-one"),
    ],
)
def test_count_steps(options, num_examples, expected):
    assert TuningOptions(**options).count_steps(num_examples) == expected


@pytest.mark.parametrize(
    ("options", "error", "helps"),
    [
        pytest.param({"max_steps": 5, "epochs": 1.0}, OptionError, "max_steps=5 and epochs=1.0", id="two-lengths"),
        pytest.param({"max_steps": 0}, OptionError, "max_steps must be above 0: got 0", id="no-steps"),
        pytest.param(
            {"epochs": -1.0}, OptionError, r"epochs must be above 0: got -1.0. Change epochs\.", id="epochs-negative"
        ),
        pytest.param({"learning_rate": 0.0}, OptionError, "Change --learning-rate", id="rate-zero"),
        pytest.param({"learning_rate": float("nan")}, OptionError, "learning_rate .* got nan", id="rate-nan"),
        pytest.param({"batch_size": 0}, OptionError, "batch_size must be above 0", id="empty-batch"),
        pytest.param({"gradient_accumulation_steps": 0}, OptionError, "above 0: got 0", id="no-accumulation"),
        pytest.param({"warmup_ratio": -0.1}, OptionError, "warmup_ratio must be .* --warmup-ratio", id="warmup"),
        pytest.param(
            {"warmup_ratio": 5}, OptionError, "warmup_ratio must be below 1, a share: got 5", id="warmup-steps"
        ),
        pytest.param({"weight_decay": -1.0}, OptionError, "weight_decay must be at least 0", id="decay"),
        pytest.param({"r": 0}, OptionError, "r must be above 0: got 0", id="rank-zero"),
        pytest.param({"r": -8}, OptionError, "r must be above 0: got -8", id="rank-negative"),
        pytest.param({"lora_alpha": 0}, OptionError, "lora_alpha must be above 0", id="alpha"),
        pytest.param(
            {"lora_dropout": 1.0}, OptionError, "lora_dropout must be below 1, a share: got 1.0", id="dropout"
        ),
        pytest.param({"seed": -1}, OptionError, "seed must be at least 0", id="seed-negative"),
        pytest.param({"seed": 2**32}, OptionError, "seed must be below 4294967296", id="seed-large"),
        pytest.param({"lr_scheduler_type": "cosin"}, UnknownNameError, "Did you mean 'cosine'", id="schedule"),
    ],
)
def test_refusals(options, error, helps):
    with pytest.raises(error, match=helps):
        TuningOptions(**options)


def test_a_message_names_a_flag_that_there_is():
    named = {field.name for field in dataclasses.fields(TuningOptions)} - {*ONLY_PYTHON, "peft_options"}
    assert named <= {field.name for field in dataclasses.fields(TuneConfig)}


def test_options_are_written_as_json():
    content = json.loads(json.dumps(TuningOptions(max_steps=3, peft_options={"use_dora": True}).to_json()))
    assert content["max_steps"] == 3
    assert content["target_modules"] == ["q_proj", "v_proj"]
    assert content["peft_options"] == {"use_dora": True}
