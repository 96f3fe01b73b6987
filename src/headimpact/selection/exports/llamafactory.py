"""LLaMA-Factory: YAML for `llamafactory-cli train FILE`.

Written for LLaMA-Factory 0.9.5 (`model/adapter.py`, `model/model_utils/visual.py`): targets are split at commas; in the
vision-language models it knows, a module is tuned if its name *contains* a target and none of the frozen parts' names;
in others the list goes to PEFT.
Avoids: short names, which match the tower's projections wherever it is not frozen, and every layer; a pattern, which
is looked for letter by letter and never found; `freeze_language_model`, which takes out all that was chosen.
"""

from headimpact.selection.exports.plan import render_yaml
from headimpact.selection.selection import Selection


def export_llamafactory(selection: Selection, *, lora_alpha: int, lora_dropout: float) -> str:
    """Write LLaMA-Factory's LoRA options as YAML, with full module names."""
    options = {
        "finetuning_type": "lora",
        "lora_rank": selection.r,
        "lora_alpha": lora_alpha,
        "lora_dropout": lora_dropout,
        "lora_target": ",".join(selection.target_module_names()),
        "freeze_vision_tower": True,
        "freeze_multi_modal_projector": True,
        "freeze_language_model": False,
    }
    return render_yaml(selection, options)
