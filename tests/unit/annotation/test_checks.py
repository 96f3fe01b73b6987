import sys

import numpy as np
import pytest

from headimpact.annotation.checks import check_rows, check_share, refuse_nan
from headimpact.annotation.installed import require_class, require_torchvision
from headimpact.core.errors import (
    DataFormatError,
    MissingExtraError,
    OptionError,
    RunFailedError,
    UnsupportedModelError,
)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_threshold_outside_its_range(value):
    with pytest.raises(OptionError, match=rf"--box-threshold is {value}; expected a number from 0 to 1"):
        check_share("box-threshold", value)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_threshold_within_its_range(value):
    check_share("box-threshold", value)


def test_rows_that_differ():
    with pytest.raises(DataFormatError, match=r"2 pictures, 1 captions\. Expected one for each picture"):
        check_rows(["a", "b"], ["c"], "captions")


def test_nan_names_the_way_out():
    with pytest.raises(RunFailedError, match=r"from the detector: 1 of 2 confidences are NaN.*--dtype float32"):
        refuse_nan(np.array([0.5, np.nan]), "the detector")


def test_a_class_that_transformers_lacks():
    with pytest.raises(UnsupportedModelError, match=r"No Sam99Model in transformers .*pip install --upgrade"):
        require_class("Sam99Model")


def test_missing_torchvision_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"SAM 3 needs the package 'torchvision'.*pip install torchvision"):
        require_torchvision("SAM 3")
