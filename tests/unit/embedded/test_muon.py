import torch

from headimpact.embedded.muon import BatchedMuon, orthogonalize


def test_singular_values_come_near_one():
    generator = torch.Generator().manual_seed(0)
    for size in ((3, 16, 16), (2, 24, 8), (2, 8, 24)):
        result = orthogonalize(torch.randn(size, generator=generator))
        values = torch.linalg.svdvals(result)
        assert result.shape == size
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_a_stack_gives_what_single_matrices_give():
    matrices = torch.randn(4, 12, 6, generator=torch.Generator().manual_seed(1))
    singly = torch.cat([orthogonalize(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalize(matrices), singly)


def test_a_step_goes_downhill_and_leaves_others_alone():
    weight = torch.nn.Parameter(torch.eye(4))
    untouched = torch.nn.Parameter(torch.eye(4))
    optimizer = BatchedMuon([weight, untouched], lr=0.1)
    before = weight.square().sum().item()
    weight.square().sum().backward()
    optimizer.step()
    assert weight.square().sum().item() < before
    assert torch.equal(untouched, torch.eye(4))
