import pytest

from headimpact.core.errors import OptionError
from headimpact.scoring.donors import plan_donors

IDS = [f"picture-{number}" for number in range(200)]


@pytest.mark.parametrize(
    ("count", "donors", "sizes"),
    [(5, 64, [5]), (65, 64, [65]), (66, 64, [33, 33]), (128, 64, [64, 64]), (200, 64, [50] * 4), (7, 2, [3, 2, 2])],
)
def test_groups_are_nearly_equal_and_bounded(count, donors, sizes):
    plan = plan_donors(IDS[:count], donors=donors)
    assert sorted((len(group) for group in plan.groups), reverse=True) == sizes
    assert sorted(image_id for group in plan.groups for image_id in group) == sorted(IDS[:count])


def test_a_picture_is_never_its_own_donor_and_lends_back():
    plan = plan_donors(IDS, donors=16)
    for image_id in IDS:
        donors = plan.donors_of(image_id)
        assert 0 < len(donors) <= 16
        assert image_id not in donors
        assert all(image_id in plan.donors_of(other) for other in donors)


def test_the_order_of_pictures_does_not_matter_and_the_seed_does():
    plan = plan_donors(IDS, donors=16)
    assert plan_donors(IDS[::-1], donors=16).groups == plan.groups
    assert plan_donors(IDS, donors=16, seed=1).groups != plan.groups


def test_neighbours_are_spread():
    plan = plan_donors(IDS, donors=49)
    assert max(len({*group} & {*IDS[:50]}) for group in plan.groups) < 25


def test_no_and_one_picture():
    assert plan_donors([]).groups == ()
    assert plan_donors(["a"]).donors_of("a") == ()


def test_refused():
    with pytest.raises(OptionError, match=r"Number of donors out of range: 0. Expected at least 1"):
        plan_donors(IDS, donors=0)
    with pytest.raises(OptionError, match=r"Picture named twice: 'a'.*average its captions first"):
        plan_donors(["a", "b", "a"])
