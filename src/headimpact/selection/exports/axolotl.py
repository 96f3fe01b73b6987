"""Axolotl: the LoRA lines of its YAML.

Written for Axolotl 0.19.0 (`loaders/adapter.py`, `utils/schemas/config.py`): `lora_target_modules` goes to PEFT as it
is; a text is matched by `re.fullmatch` with full names.
Avoids: `lora_target_linear: true`, which adds every linear module, the tower's too; a list of patterns, which Axolotl
checks as patterns and PEFT then reads as names; `peft_layers_to_transform`, which matches the tower's layers too.
"""

from headimpact.selection.exports.plan import module_pattern, render_yaml
from headimpact.selection.selection import Selection


def export_axolotl(selection: Selection, *, lora_alpha: int, lora_dropout: float) -> str:
    """Write Axolotl's LoRA options as YAML."""
    options = {
        "adapter": "lora",
        "lora_r": selection.r,
        "lora_alpha": lora_alpha,
        "lora_dropout": lora_dropout,
        "lora_target_linear": False,
        "lora_target_modules": module_pattern(selection),
    }
    return render_yaml(selection, options)
