"""A run whose loss is no number stops at once, says which run and what to do, and leaves nothing half-written."""

from headimpact.models.loading import load_model
from headimpact.selection.selection import Selection
from tests.integration.conftest import done, run


def test_a_diverging_arm_is_named_and_the_others_stand(tiny_llava, scenes, tmp_path):
    loaded = load_model(tiny_llava)
    of = loaded.family.architecture(loaded.config)
    Selection(strategy="top-k", layers=(1, 2), architecture=of, r=2).write(tmp_path / "selection.json")
    inputs = ("--model", tiny_llava, "--data", scenes, "--selection", tmp_path)
    words = ("tune", *inputs, "--batch-size", 3, "--max-steps", 4, "--prefix-cache", "off")
    done(*words, "--out", tmp_path / "arms" / "one")
    before = {path: path.read_bytes() for path in (tmp_path / "arms").rglob("*") if path.is_file()}
    broken = run(*words, "--out", tmp_path / "arms" / "two", "--learning-rate", 1e30, "--warmup-ratio", 0)
    assert broken.code == 1
    (line,) = broken.errors
    assert f"Tuning of {tmp_path / 'arms' / 'two'} (top-k, layers 1 2) diverged in step " in line
    assert " of 4: the loss is " in line
    assert "Lower --learning-rate (now 1e+30)" in line
    assert {path: path.read_bytes() for path in (tmp_path / "arms").rglob("*") if path.is_file()} == before
    assert not (tmp_path / "arms" / "two").exists()
    done(*words, "--out", tmp_path / "arms" / "three")
