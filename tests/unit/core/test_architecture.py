import dataclasses
import json

import pytest

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import DataFormatError

SUMMARY = ArchitectureSummary(
    model_type="llava",
    num_layers=12,
    num_heads=8,
    num_key_value_heads=4,
    head_dim=16,
    hidden_size=128,
    projections={"q_proj": (128, 128), "v_proj": (128, 64)},
    attention_path="model.language_model.layers.{layer_idx}.self_attn",
    total_parameters=3_000_000,
)


def test_module_names_are_full():
    assert SUMMARY.module_name(3, "q_proj") == "model.language_model.layers.3.self_attn.q_proj"
    with pytest.raises(KeyError, match="up_proj"):
        SUMMARY.module_name(3, "up_proj")


def test_a_layer_may_have_other_projections():
    uneven = dataclasses.replace(SUMMARY, other_projections={11: {"q_proj": (128, 256)}})
    assert uneven.projections_of(3) == SUMMARY.projections
    assert uneven.projections_of(11) == {"q_proj": (128, 256)}
    with pytest.raises(KeyError, match="v_proj"):
        uneven.module_name(11, "v_proj")


@pytest.mark.parametrize("others", [{}, {3: {"q_proj": (128, 256)}, 11: {}}], ids=["even", "uneven"])
def test_json_round_trip(others):
    summary = dataclasses.replace(SUMMARY, other_projections=others)
    assert ArchitectureSummary.from_json(json.loads(json.dumps(summary.to_json()))) == summary


def test_a_block_written_before_layers_could_differ_is_read():
    content = SUMMARY.to_json()
    del content["other_projections"]
    assert ArchitectureSummary.from_json(content) == SUMMARY


@pytest.mark.parametrize(
    "broken",
    [{}, {**SUMMARY.to_json(), "depth": 3}, {**SUMMARY.to_json(), "projections": {"q_proj": 3}}],
    ids=["empty", "unknown field", "bad shape"],
)
def test_a_broken_block_is_refused(broken):
    with pytest.raises(DataFormatError, match="Broken architecture block"):
        ArchitectureSummary.from_json(broken)
