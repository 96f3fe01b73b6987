"""How other trainers find the modules to tune: rules read in their sources, written down anew; not their code.

Each function says which file of which version it follows. What it gives goes to `peft.LoraConfig(target_modules=...)`,
as it does there.
"""

import re
from collections.abc import Collection
from typing import Any

from torch import nn

LLAMAFACTORY_FORBIDDEN = {
    "llava": {"vision": ("vision_tower",), "projector": ("multi_modal_projector",), "conflict": ()},
    "qwen2_5_vl": {
        "vision": ("visual.patch_embed", "visual.blocks"),
        "projector": ("visual.merger",),
        "conflict": ("patch_embed",),
    },
}
"""Parts of the models used here, by LLaMA-Factory's table of composite models."""
LANGUAGE = ("language_model", "lm_head")


def llamafactory_targets(model: Any, options: dict) -> list[str]:
    """LLaMA-Factory 0.9.5: `hparams/finetuning_args.py`, `model/model_utils/visual.py` (`patch_target_modules`)."""
    targets = [one.strip() for one in options["lora_target"].split(",")]
    parts = LLAMAFACTORY_FORBIDDEN[model.config.model_type]
    forbidden = set(parts["conflict"])
    forbidden.update(parts["vision"] if options.get("freeze_vision_tower", True) else ())
    forbidden.update(parts["projector"] if options.get("freeze_multi_modal_projector", True) else ())
    forbidden.update(LANGUAGE if options.get("freeze_language_model", False) else ())
    names = [name for name, _ in model.named_modules()]
    return [name for name in names if _holds_any(name, targets) and not _holds_any(name, forbidden)]


def ms_swift_targets(model: nn.Module, options: dict) -> Any:
    """ms-swift 4.6.0: `arguments/tuner_args.py`, `pipelines/train/tuner.py`; "all-linear" is not written down."""
    return options.get("target_regex") or options["target_modules"]


def axolotl_targets(model: nn.Module, options: dict) -> str | list[str]:
    """Axolotl 0.19.0: `loaders/adapter.py` (`_build_peft_lora_config`, `find_all_linear_names`)."""
    given = options.get("lora_target_modules") or []
    if not options.get("lora_target_linear"):
        return given
    linear = {name.split(".")[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return sorted({*([given] if isinstance(given, str) else given), *(linear - {"lm_head"})})


def unsloth_targets(model: nn.Module, options: dict) -> Any:
    """Unsloth 2026.10.9: `models/vision.py` (`get_peft_model`); the filter is unsloth_zoo's `peft_utils.py`.

    Of the filters only the language one is written down.

    Raises:
        RuntimeError: If the filter leaves no linear module, as there.
    """
    targets = options["target_modules"]
    if isinstance(targets, str) or options.get("finetune_vision_layers", True):
        return targets
    leaves = "|".join(map(re.escape, targets))
    parts, components = "language|text", "self_attn|attention|attn|mixer|mlp|feed_forward|ffn|dense"
    pattern = rf"(?:.*?(?:{parts}).*?(?:{components}).*?\.(?:{leaves}))|(?:\bmodel\.layers\.\d+\..*?(?:{leaves}))"
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not any(re.fullmatch(pattern, name) for name in linear):
        raise RuntimeError("No layers to finetune")
    return pattern


def _holds_any(name: str, parts: Collection[str]) -> bool:
    return any(part in name for part in parts)
