"""TRL: YAML for `trl sft --config FILE`, or for any script that reads TRL's `ModelConfig`.

Written for TRL 1.16.0 (`trl/trainer/model_config.py`, `trl/trainer/utils.py`): a list of one target is unpacked into a
text, which PEFT matches by `re.fullmatch` with full names.
Avoids: TRL's own default, which tunes what PEFT holds usual for the architecture, in every layer; a list of full names,
of which a single one would silently be read as a pattern.
"""

from headimpact.selection.exports.plan import module_pattern, render_yaml
from headimpact.selection.selection import Selection


def export_trl(selection: Selection, *, lora_alpha: int, lora_dropout: float) -> str:
    """Write the LoRA options of TRL's `ModelConfig` as YAML."""
    options = {
        "use_peft": True,
        "lora_r": selection.r,
        "lora_alpha": lora_alpha,
        "lora_dropout": lora_dropout,
        "lora_target_modules": [module_pattern(selection)],
    }
    return render_yaml(selection, options)
