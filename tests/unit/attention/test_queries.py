import pytest

from headimpact.attention.queries import response_rows
from headimpact.core.errors import OptionError


@pytest.mark.parametrize(
    ("convention", "expected"),
    [("predicting", [[2, 3, 4], [0]]), ("at", [[3, 4, 5], [1]])],
)
def test_rows_of_each_convention(convention, expected):
    rows = response_rows([(3, 6), (1, 2)], convention)
    assert [row.tolist() for row in rows] == expected


@pytest.mark.parametrize(
    ("span", "convention", "match"),
    [
        pytest.param((3, 3), "at", "Row 0 has no response", id="empty span"),
        pytest.param((0, 2), "predicting", "use the convention 'at'", id="nothing before"),
        pytest.param((1, 2), "predictin", "Did you mean 'predicting'", id="unknown convention"),
    ],
)
def test_refused_rows(span, convention, match):
    with pytest.raises(OptionError, match=match):
        response_rows([span], convention)
