"""Every preset that ships can be carried out, and the study's presets are what its protocol says."""

from pathlib import Path

import pytest
import yaml

from headimpact.cli.main import main

PRESETS = sorted((Path(__file__).parents[2] / "src/headimpact/cli/presets").glob("*.yaml"))
PROTOCOL = (Path(__file__).parents[2] / "docs/protocol.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_passes_a_dry_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", "--config", str(path), "--dry-run"]) == 0
    assert "top-k" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_a_preset_holds_what_the_protocol_says(path):
    preset = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert f"{preset['calibration']} for `calibration`" in PROTOCOL
    assert f"{preset['train']:,} for `train`" in PROTOCOL
    assert f"{preset['test']} for `test`" in PROTOCOL
    assert f"k = {preset['k']} of 12" in PROTOCOL
    assert f"r = {preset['r']}, alpha = 16" in PROTOCOL
    assert f"Margin: {preset['margin']}" in PROTOCOL
    assert f"{preset['depth_matched_draws']} depth-matched draws" in PROTOCOL
    rate = f"{preset['learning_rate']:.0e}".replace("e-0", "e-")
    settled = f"**{preset['max_steps']} steps of {preset['batch_size']} pictures at a peak learning rate of {rate}**"
    assert settled in PROTOCOL
    assert f"**{preset['primary'].replace('_', ' ')}**" in PROTOCOL


def test_there_is_a_preset_for_each_task_of_the_study():
    assert [path.stem for path in PRESETS] == ["study_where", "study_wording"]
