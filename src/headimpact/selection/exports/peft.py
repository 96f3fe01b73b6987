"""PEFT: an `adapter_config.json` without weights, for `LoraConfig.from_pretrained` and `get_peft_model`.

Written for PEFT 0.21.2 (`peft/tuners/tuners_utils.py`): a text in `target_modules` is matched by `re.fullmatch` with
full names.
Avoids: `layers_to_transform`, which takes the first number of a module's path for its layer and so matches the vision
tower too; short names, which match it as well; lists of 20 names or more, which PEFT shortens to suffixes and saves
so. The task type is left open, as "CAUSAL_LM" would send PEFT's auto classes to text-only models.
"""

import json

from headimpact.selection.exports.plan import module_pattern
from headimpact.selection.selection import Selection


def export_peft(selection: Selection, *, lora_alpha: int, lora_dropout: float) -> str:
    """Write the content of an `adapter_config.json`."""
    content = {
        "peft_type": "LORA",
        "task_type": None,
        "r": selection.r,
        "lora_alpha": lora_alpha,
        "lora_dropout": lora_dropout,
        "bias": "none",
        "target_modules": module_pattern(selection),
    }
    return json.dumps(content, indent=1) + "\n"
