import itertools

import numpy as np
import pytest
import torch

from headimpact.scoring.ties import expected_tied_iou


def enumerated(certain, unit, tied, hits, places, size):
    """Average over every set of whole places and every token taken in part."""
    whole, part = int(places), places - int(places)
    values = []
    for taken in itertools.permutations(range(tied), whole + (part > 0)):
        full, last = taken[:whole], taken[whole:]
        common = certain + unit * (sum(j < hits for j in full) + part * sum(j < hits for j in last))
        values.append(common / (2 * size - common))
    return np.mean(values)


def expected(*fields):
    names = ("certain", "unit", "tied", "hits", "places", "size")
    tensors = {name: torch.tensor([value], dtype=torch.float64) for name, value in zip(names, fields, strict=True)}
    return expected_tied_iou(**tensors).item()


CASES = {
    "one place, one hit of two": (0, 1.0, 2, 1, 1, 1, (1 + 0) / 2),
    "two places of three, two hits": (0, 1.0, 3, 2, 2, 2, (1 + 1 / 3 + 1 / 3) / 3),
    "a certain hit before": (1, 1.0, 2, 1, 1, 2, (1 + 1 / 3) / 2),
    "no whole place, half a one": (0, 1.0, 2, 1, 0.5, 0.5, 0.5),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_worked_by_hand(case):
    assert expected(*case[:-1]) == pytest.approx(case[-1], abs=1e-12)
    assert enumerated(*case[:-1]) == pytest.approx(case[-1], abs=1e-12)


def test_agrees_with_enumeration():
    generator = np.random.default_rng(0)
    for _ in range(60):
        tied = int(generator.integers(2, 7))
        hits = int(generator.integers(1, tied))
        places = float(generator.integers(0, tied)) + float(generator.choice([0.0, 0.25, 0.5]))
        places = min(places, tied - 0.5) or 0.5
        certain, unit = float(generator.integers(0, 3)), float(generator.choice([0.5, 1.0]))
        size = certain + unit * places + float(generator.integers(0, 2))
        fields = (certain, unit, tied, hits, places, size)
        assert expected(*fields) == pytest.approx(enumerated(*fields), abs=1e-10), fields


def test_is_more_than_the_iou_of_the_expected_number():
    iou = expected(0, 1.0, 10, 5, 5, 5)
    assert iou > 2.5 / (10 - 2.5)


def test_a_fraction_of_a_hit_lies_between_whole_ones():
    low, middle, high = (expected(0, 1.0, 6, hits, 3, 3) for hits in (2, 2.5, 3))
    assert middle == pytest.approx((low + high) / 2)


def test_equal_cases_are_worked_once_and_all_answered():
    fields = {
        "certain": torch.zeros(5, dtype=torch.float64),
        "unit": torch.ones(5, dtype=torch.float64),
        "tied": torch.full((5,), 800.0, dtype=torch.float64),
        "hits": torch.tensor([90.0, 100.0, 90.0, 100.0, 90.0], dtype=torch.float64),
        "places": torch.full((5,), 120.0, dtype=torch.float64),
        "size": torch.full((5,), 120.0, dtype=torch.float64),
    }
    found = expected_tied_iou(**fields).tolist()
    assert found[0] == found[2] == found[4] < found[1] == found[3]
    generator = np.random.default_rng(0)
    hits = generator.hypergeometric(90, 710, 120, size=20_000)
    assert found[0] == pytest.approx(np.mean(hits / (240 - hits)), abs=3e-4)


def test_no_case():
    none = torch.zeros(0, dtype=torch.float64)
    assert expected_tied_iou(certain=none, unit=none, tied=none, hits=none, places=none, size=none).shape == (0,)
