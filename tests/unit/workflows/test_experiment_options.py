import dataclasses

import pytest

from headimpact.core.errors import OptionError
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_options import check_options


def test_a_study_that_tunes_every_set_takes_no_number_of_random_draws(tmp_path):
    config = ExperimentConfig(out=tmp_path, exhaustive=True)
    check_options(config)
    with pytest.raises(OptionError, match="--random-draws is 7, but every set of layers is tuned here"):
        check_options(dataclasses.replace(config, random_draws=7))
    check_options(dataclasses.replace(config, random_draws=7, exhaustive=False))
