import numpy as np
import pytest
import torch

from headimpact.scoring.attention_ranks import is_last, rank_tokens, value_at_next


def test_ranks_worked_by_hand():
    ranked = rank_tokens(torch.tensor([[0.1, 0.4, 0.4, 0.0]]), torch.tensor([1.0, 0.5, 1.0, 1.0]).double())
    assert ranked.above.tolist() == [[0.0, 0.0, 1.5, 2.5]]
    assert ranked.through.tolist() == [[1.5, 1.5, 2.5, 3.5]]
    assert ranked.by_token(ranked.through).tolist() == [[2.5, 1.5, 1.5, 3.5]]


@pytest.mark.parametrize("levels", [2, 1000], ids=["many ties", "no ties"])
def test_ranks_agree_with_plain_loops(levels):
    generator = np.random.default_rng(0)
    rows, weights = generator.integers(0, levels, (6, 11)), generator.choice([0.25, 0.5, 1.0], 11)
    ranked = rank_tokens(torch.from_numpy(rows).float(), torch.from_numpy(weights))
    above, through = ranked.by_token(ranked.above), ranked.by_token(ranked.through)
    for row, token in np.ndindex(rows.shape):
        assert above[row, token] == weights[rows[row] > rows[row, token]].sum()
        assert through[row, token] == weights[rows[row] >= rows[row, token]].sum()


def test_runs_of_equal_values():
    ordered = torch.tensor([[3.0, 3.0, 1.0, 0.0, 0.0]])
    assert is_last(ordered).tolist() == [[False, True, True, False, True]]
    assert value_at_next(torch.arange(5.0)[None], is_last(ordered)).tolist() == [[1.0, 1.0, 2.0, 4.0, 4.0]]
