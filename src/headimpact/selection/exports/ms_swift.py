"""ms-swift: YAML for `swift sft FILE`.

Written for ms-swift 4.6.0 (`swift/arguments/tuner_args.py`, `swift/pipelines/train/tuner.py`): `target_regex` takes the
place of `target_modules` and goes to PEFT as a text, which is matched by `re.fullmatch` with full names.
Avoids: the default `target_modules: all-linear`, which tunes the whole language model; `freeze_vit`, which does not
narrow named targets, so that short names reach the tower; LISA, which takes the model's first list of layers, which
may be the tower's.
"""

from headimpact.selection.exports.plan import module_pattern, render_yaml
from headimpact.selection.selection import Selection


def export_ms_swift(selection: Selection, *, lora_alpha: int, lora_dropout: float) -> str:
    """Write ms-swift's LoRA options as YAML."""
    options = {
        "tuner_type": "lora",
        "lora_rank": selection.r,
        "lora_alpha": lora_alpha,
        "lora_dropout": lora_dropout,
        "target_regex": module_pattern(selection),
    }
    return render_yaml(selection, options)
