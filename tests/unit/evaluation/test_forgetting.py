import numpy as np
import pytest
import torch

from headimpact.core.errors import DataFormatError
from headimpact.evaluation.forgetting import measure_forgetting, read_passages
from headimpact.evaluation.text_loss import text_losses


def test_by_hand():
    before, after = np.array([[4.0, 2.0], [9.0, 3.0]]), np.array([[4.0, 2.0], [12.0, 3.0]])
    found = measure_forgetting(before, after, seed=1)
    assert (found.passages, found.tokens) == (2, 5)
    assert (found.before, found.after) == (13 / 5, 16 / 5)
    assert found.rise == pytest.approx(3 / 5)
    assert found.rise_low == 0.0
    assert found.rise_high == pytest.approx(1.0)
    assert "2.6000 -> 3.2000, a rise of +0.6000" in found.line()
    assert measure_forgetting(before, None).rise is None


@pytest.mark.parametrize("family", ["llava-siglip", "qwen2_5_vl", "gemma3"])
def test_the_loss_is_that_of_the_full_logits_without_a_picture(tiny_model, family):
    loaded = tiny_model(family)
    passages = ["a red circle on a blue background", "the main object", "a b"]
    found = text_losses(loaded, passages, batch_size=2)
    for passage, (total, count) in zip(passages, found, strict=True):
        ids = loaded.processor.tokenizer(passage, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1].float()
        expected = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        assert count == ids.shape[1] - 1
        assert total == pytest.approx(expected, rel=1e-4)


def test_text_files_are_read_line_by_line_and_empty_ones_refused(tmp_path):
    (tmp_path / "t.txt").write_text("one\n\n  two \n")
    assert read_passages(tmp_path / "t.txt") == ("one", "two")
    (tmp_path / "t.txt").write_text("\n")
    with pytest.raises(DataFormatError, match="one passage a line"):
        read_passages(tmp_path / "t.txt")
    with pytest.raises(DataFormatError, match="Cannot read"):
        read_passages(tmp_path / "nowhere.txt")
