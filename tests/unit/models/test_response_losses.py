import types

import pytest
import torch
from PIL import Image
from torch import nn

from headimpact.models.prompts import encode
from headimpact.models.response_losses import keeps_chosen_logits, response_losses


class Table(nn.Module):
    """Predicts fixed logits at each position."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, use_cache: bool) -> types.SimpleNamespace:
        del use_cache
        return types.SimpleNamespace(logits=self.logits)


def test_rows_by_hand():
    # Two words. The first row's labels have chances 3/4 and 1/2, the second row's only label 1/10.
    logits = torch.log(torch.tensor([[[3.0, 1.0], [1.0, 1.0], [1.0, 9.0]], [[1.0, 1.0], [1.0, 9.0], [1.0, 1.0]]]))
    labels = torch.tensor([[-100, 0, 1], [-100, -100, 0]])
    expected = torch.tensor([-(torch.tensor(3 / 4).log() + torch.tensor(1 / 2).log()) / 2, -torch.tensor(0.1).log()])
    torch.testing.assert_close(response_losses(Table(logits), {}, labels), expected)


def test_a_row_without_targets_has_no_loss():
    found = response_losses(Table(torch.zeros(2, 3, 4)), {}, torch.tensor([[-100, -100, -100], [-100, 1, -100]]))
    assert found.isnan().tolist() == [True, False]


@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_what_transformers_gives_them_alone(tiny_model, name, side):
    loaded = tiny_model(name)
    assert keeps_chosen_logits(loaded.model)
    images = [Image.new("RGB", (60, 40), colour) for colour in ("red", "blue")]
    prompts, texts = ["What?", "Describe it."], ["a red circle", "a large square near the top of the background"]
    batch = encode(loaded, images, prompts, texts, padding_side=side)
    assert batch.labels is not None
    with torch.no_grad():
        found = response_losses(loaded.model, batch.inputs, batch.labels)
        for row in range(2):
            alone = encode(loaded, images[row : row + 1], prompts[row : row + 1], texts[row : row + 1])
            theirs = loaded.model(**alone.inputs, labels=alone.labels).loss
            torch.testing.assert_close(found[row], theirs, atol=1e-5, rtol=1e-5)
