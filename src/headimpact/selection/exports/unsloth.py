"""Unsloth: the Python call that puts LoRA into a loaded vision-language model.

Written for Unsloth 2026.10.9 (`unsloth/models/vision.py`, `FastBaseModel.get_peft_model`): a text in `target_modules`
goes to PEFT as it is and is matched by `re.fullmatch` with full names.
Avoids: a list together with any `finetune_..._layers=False`, whose entries are then taken for last parts of names, so
that full names match nothing; `layers_to_transform` and `finetune_last_n_layers`, which narrow the choice once more.
`finetune_vision_layers=False` changes nothing for a text, and Unsloth's fast inference asks for it.
"""

from headimpact.selection.exports.plan import module_pattern, plan_comment
from headimpact.selection.selection import Selection


def export_unsloth(selection: Selection, *, lora_alpha: int, lora_dropout: float) -> str:
    """Write the call as Python, for a script in which `FastVisionModel` is imported and `model` is loaded."""
    lines = (
        "model = FastVisionModel.get_peft_model(",
        "    model,",
        f"    r={selection.r},",
        f"    lora_alpha={lora_alpha},",
        f"    lora_dropout={lora_dropout},",
        f'    target_modules=r"{module_pattern(selection)}",',
        "    finetune_vision_layers=False,",
        ")",
    )
    return plan_comment(selection) + "\n".join(lines) + "\n"
