import math

import pytest

from headimpact.workflows.advice import chance_verdict

NONE = math.nan
Q = (0.01, 0.05, 0.051, 0.6, NONE)


@pytest.mark.parametrize(
    ("layers", "begins", "says"),
    [
        ((0, 1), "Above chance: every chosen layer", "(q <= 0.05)"),
        ((0, 2), "In part above chance: layers 0 follow", "for 2 that is not shown"),
        ((0, 4), "In part above chance: layers 0 follow", "for 4 that is not shown"),
        ((2, 3), "Not above chance: no chosen layer", "no ground for tuning just these"),
        ((4,), "Chance not known", "nothing that these layers could be held against"),
    ],
)
def test_the_verdict_is_about_the_chosen_layers(layers, begins, says):
    verdict = chance_verdict(Q, layers)
    assert verdict.startswith(begins)
    assert says in verdict
