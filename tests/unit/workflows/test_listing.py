import json

from headimpact.models.families import FAMILIES, REFUSED
from headimpact.workflows.configs import ListConfig
from headimpact.workflows.listing import list_command


def test_families_for_programs(capsys):
    list_command(ListConfig(kind="families", json=True))
    rows = {row["model_type"]: row for row in json.loads(capsys.readouterr().out)["families"]}
    assert set(rows) == {*FAMILIES, *REFUSED}
    assert rows["qwen2_5_vl"]["checkpoints"] == ["Qwen/Qwen2.5-VL-3B-Instruct"]
    assert {"eager", "sdpa"} <= set(rows["qwen2_5_vl"]["implementations"])
    assert (rows["blip-2"]["status"], rows["blip-2"]["checkpoints"]) == ("refused", [])


def test_other_lists_keep_their_names(capsys):
    list_command(ListConfig(kind="scores", json=True))
    assert {"name": "head_impact"} in json.loads(capsys.readouterr().out)["scores"]


def test_columns_of_the_metrics_stand_below_each_other(capsys):
    list_command(ListConfig(kind="metrics"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[0] == "exact_match"
    assert len({max(line.rfind("higher"), line.rfind("lower")) for line in lines}) == 1
