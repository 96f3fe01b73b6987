"""What several exports say alike: the chosen modules as one pattern, the plan in a comment, options as YAML."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from headimpact.selection.selection import Selection


def module_pattern(selection: Selection) -> str:
    r"""Write the full names of the chosen modules as one regular expression.

    A trainer that hands a text to PEFT gets `re.fullmatch` with it on full names. That matches neither the vision
    tower's equally named projections nor layer 11 for layer 1, and PEFT, which shortens a list of 20 or more names
    to suffixes, leaves a text as it is.

    Args:
        selection: The chosen layers and projections.

    Returns:
        A pattern whose full matches are the chosen modules.

    Source:
        PEFT 0.21.2, `peft/tuners/tuners_utils.py` (`check_target_module_exists`).

    Example:
        >>> from headimpact.core.architecture import ArchitectureSummary
        >>> architecture = ArchitectureSummary(
        ...     model_type="llava", num_layers=32, num_heads=32, num_key_value_heads=32, head_dim=128,
        ...     hidden_size=4096, projections={"q_proj": (4096, 4096), "v_proj": (4096, 4096)},
        ...     attention_path="language_model.layers.{layer_idx}.self_attn", total_parameters=7_063_427_072)
        >>> print(module_pattern(Selection(strategy="given", layers=(1, 4), architecture=architecture)))
        language_model\.layers\.(?:1|4)\.self_attn\.(?:q_proj|v_proj)
    """
    before, _, after = selection.architecture.attention_path.partition("{layer_idx}")
    layers = "|".join(map(str, selection.layers))
    projections = "|".join(map(re.escape, selection.target_modules))
    return f"{re.escape(before)}(?:{layers}){re.escape(after)}\\.(?:{projections})"


def plan_comment(selection: Selection) -> str:
    """Say in a comment line what is tuned and how it was chosen; YAML and Python read it alike."""
    layers = " ".join(map(str, selection.layers))
    modules = len(selection.target_module_names())
    return f"# headimpact: layers {layers} ({selection.strategy}), {modules} modules, {selection.count_parameters()}\n"


def render_yaml(selection: Selection, options: Mapping[str, Any]) -> str:
    """Write a trainer's options below the comment, in the given order, each on one line."""
    return plan_comment(selection) + yaml.safe_dump(dict(options), sort_keys=False, width=float("inf"))
