import itertools
from collections import Counter

import pytest

from headimpact.core.errors import OptionError
from headimpact.selection.draws import draw_random, draw_replacements, replacement_sets


def plain_sets(selected, others, window):
    """Try every assignment of substitutes."""
    found = set()
    for chosen in itertools.permutations(others, len(selected)):
        if all(abs(one - other) <= window for one, other in zip(selected, chosen, strict=True)):
            found.add(tuple(sorted(chosen)))
    return sorted(found)


@pytest.mark.parametrize("selected", [(0, 1), (2, 5), (0, 1, 2), (3,), (6, 7, 8)], ids=str)
@pytest.mark.parametrize("window", [1, 2, 4])
def test_sets_agree_with_every_assignment(selected, window):
    others = [layer for layer in range(9) if layer not in selected]
    assert replacement_sets(selected, others, window=window) == plain_sets(selected, others, window)


def test_all_random_sets_but_the_top_one_are_drawn_once():
    draws = [draw_random(range(12), 2, excluded=(3, 7), seed=5, draw=draw) for draw in range(65)]
    assert len(set(draws)) == 65
    assert set(draws) == set(itertools.combinations(range(12), 2)) - {(3, 7)}
    with pytest.raises(OptionError, match=r"Draw 65 does not exist: there are 65 different sets of 2 out of 12 layers"):
        draw_random(range(12), 2, excluded=(3, 7), seed=5, draw=65)


def test_random_draws_are_uniform():
    counts = Counter(draw_random(range(5), 2, excluded=(0, 1), seed=seed, draw=0) for seed in range(1800))
    assert len(counts) == 9
    assert all(150 < count < 250 for count in counts.values())


def test_a_draw_is_the_same_whatever_is_drawn_later():
    assert draw_random(range(28), 4, excluded=None, seed=1, draw=3) == draw_random(
        range(28), 4, excluded=None, seed=1, draw=3
    )
    assert draw_random(range(28), 4, excluded=None, seed=2, draw=3) != draw_random(
        range(28), 4, excluded=None, seed=1, draw=3
    )


def test_replacements_stay_near_and_differ():
    selected = (5, 12, 20, 25)
    draws = [draw_replacements(selected, range(28), num_layers=28, seed=0, draw=draw) for draw in range(50)]
    assert len({layers for layers, _ in draws}) == 50
    for layers, remarks in draws:
        assert remarks == ()
        assert len(set(layers)) == 4
        assert not set(layers) & set(selected)
        assert layers in plain_sets(selected, layers, 4)


def test_few_sets_widen_the_window_and_say_so():
    # 0 and 1 of 8 within one layer: 0 has no substitute. Within two layers: only {2, 3}. Within three: three sets.
    layers, remarks = draw_replacements((0, 1), range(8), num_layers=8, seed=0, draw=0)
    assert layers in {(2, 3), (2, 4), (3, 4)}
    assert "Fewer than 3 depth-matched sets lie within 1 layers" in remarks[0]
    assert "widened to 3, which allows 3" in remarks[0]
    with pytest.raises(OptionError, match="Draw 3 does not exist: there are 3 different depth-matched sets"):
        draw_replacements((0, 1), range(8), num_layers=8, seed=0, draw=3)


def test_no_layers_left_to_replace_by():
    with pytest.raises(OptionError, match=r"there are 0 different depth-matched sets for the layers 0 1 2"):
        draw_replacements((0, 1, 2), range(4), num_layers=4, seed=0, draw=0)


def test_layers_without_a_score_are_no_substitutes():
    for draw in range(3):
        layers, _ = draw_replacements((4,), [0, 1, 2, 4, 6, 7], num_layers=8, seed=0, draw=draw)
        assert layers[0] in {2, 6, 1, 7}


def test_many_sets_are_drawn_without_listing_them(monkeypatch):
    monkeypatch.setattr("headimpact.selection.draws.LISTED_SETS", 5)
    selected = (3, 9, 15)
    draws = [draw_replacements(selected, range(20), num_layers=20, seed=1, draw=draw)[0] for draw in range(30)]
    assert len(set(draws)) == 30
    assert set(draws) <= set(plain_sets(selected, [layer for layer in range(20) if layer not in selected], 3))
