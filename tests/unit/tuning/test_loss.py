import types

import pytest
import torch
from torch import nn

from headimpact.tuning.language_inputs import encode_batch
from headimpact.tuning.loss import answer_loss
from tests.unit.tuning.makers import examples


class _Table(nn.Module):
    """Predicts a fixed row of logits at each position."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, use_cache: bool) -> types.SimpleNamespace:
        del use_cache
        return types.SimpleNamespace(logits=self.logits)


class _KeepingTable(_Table):
    def forward(self, use_cache: bool, logits_to_keep) -> types.SimpleNamespace:  # type: ignore[override]
        del use_cache
        return types.SimpleNamespace(logits=self.logits[:, logits_to_keep])


TABLES = [pytest.param(_Table, id="all-logits"), pytest.param(_KeepingTable, id="chosen-logits")]


@pytest.mark.parametrize("table", TABLES)
def test_worked_by_hand(table):
    # Two words. Position 1 gives the label at 2 a chance of 3/4, position 2 the label at 3 one of 1/2.
    logits = torch.log(torch.tensor([[[1.0, 9.0], [3.0, 1.0], [1.0, 1.0], [1.0, 9.0]]]))
    labels = torch.tensor([[-100, -100, 0, 1]])
    expected = -(torch.log(torch.tensor(3 / 4)) + torch.log(torch.tensor(1 / 2))) / 2
    torch.testing.assert_close(answer_loss(table(logits), {}, labels).detach(), expected)


@pytest.mark.parametrize("table", TABLES)
def test_equals_plain_loops_on_random_rows(table):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 9, 5, generator=generator)
    labels = torch.randint(0, 5, (3, 9), generator=generator)
    labels[torch.rand(3, 9, generator=generator) < 0.6] = -100
    labels[:, 0] = -100
    terms = []
    for row in range(3):
        for position in range(1, 9):
            if labels[row, position] != -100:
                chances = logits[row, position - 1].double().exp()
                terms.append(-torch.log(chances[labels[row, position]] / chances.sum()).item())
    found = answer_loss(table(logits), {}, labels).item()
    assert found == pytest.approx(sum(terms) / len(terms), abs=1e-6)
    assert answer_loss(table(logits), {}, labels, num_targets=7).item() == pytest.approx(sum(terms) / 7, abs=1e-6)


def test_unlabelled_positions_get_no_gradient():
    model = _Table(torch.zeros(1, 5, 3))
    answer_loss(model, {}, torch.tensor([[-100, -100, -100, 2, -100]])).backward()
    assert model.logits.grad is not None
    assert model.logits.grad.abs().sum(-1).bool().tolist() == [[False, False, True, False, False]]


@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl"])
def test_equals_the_loss_of_transformers(load_tiny, name):
    loaded = load_tiny(name)
    batch = encode_batch(loaded, examples(3))
    with torch.no_grad():
        theirs = loaded.model(**batch.inputs, labels=batch.labels).loss
        ours = answer_loss(loaded.model, batch.inputs, batch.labels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_labels_are_the_answer_and_its_end(llava):
    batch = encode_batch(llava, examples(3))
    tokenizer = llava.processor.tokenizer
    for example, labels in zip(examples(3), batch.labels, strict=True):
        learned = labels[labels != -100]
        assert tokenizer.decode(learned[:-1]).strip() == example.answer
        assert learned[-1] == tokenizer.eos_token_id
