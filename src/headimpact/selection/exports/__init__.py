"""Hands a choice of layers to other trainers: one file a trainer, each gives the text that trainer reads."""

from collections.abc import Callable

from headimpact.core.errors import OptionError
from headimpact.core.registry import Registry
from headimpact.selection.selection import Selection

EXPORTS = Registry(
    "trainer",
    {
        "peft": "headimpact.selection.exports.peft:export_peft",
        "trl": "headimpact.selection.exports.trl:export_trl",
        "llamafactory": "headimpact.selection.exports.llamafactory:export_llamafactory",
        "ms-swift": "headimpact.selection.exports.ms_swift:export_ms_swift",
        "unsloth": "headimpact.selection.exports.unsloth:export_unsloth",
        "axolotl": "headimpact.selection.exports.axolotl:export_axolotl",
    },
)
"""Trainer to the function that writes its config; a trainer is one file and one line here."""

_NO_YAML = {"peft": "adapter_config.json", "unsloth": "unsloth.py"}


def file_name(to: str) -> str:
    """Name the file that a trainer's config goes by.

    Args:
        to: One of `EXPORTS`.

    Example:
        >>> file_name("trl"), file_name("peft")
        ('trl.yaml', 'adapter_config.json')
    """
    return _NO_YAML.get(to, f"{to}.yaml")


def export_selection(selection: Selection, *, to: str, lora_alpha: int = 16, lora_dropout: float = 0.0) -> str:
    """Write the config, or the snippet of one, with which another trainer tunes exactly the chosen modules.

    It holds what LoRA needs and nothing else: model, data and learning rate are the trainer's business.

    Args:
        selection: Which layers; its `r` and `target_modules` are exported too.
        to: One of `EXPORTS`.
        lora_alpha: LoRA scale; a whole number, as some of the trainers read no other.
        lora_dropout: Share of a tuned projection's inputs dropped in training, in [0, 1).

    Returns:
        Text that ends in a newline: JSON, YAML or Python, whichever the trainer reads.

    Raises:
        UnknownNameError: If there is no such trainer.
        OptionError: If the selection is of single heads, or a number is outside its range.
    """
    export: Callable[..., str] = EXPORTS.load(to)
    if selection.heads is not None:
        raise OptionError(
            f"The selection holds {len(selection.heads)} single heads, which no trainer's config can name; expected "
            "whole layers. Tune heads with headimpact tune: its adapter is an ordinary PEFT adapter."
        )
    if lora_alpha < 1:
        raise OptionError(f"lora_alpha must be at least 1: got {lora_alpha}. Pass --lora-alpha 16, for example.")
    if not 0 <= lora_dropout < 1:
        raise OptionError(f"lora_dropout must be in [0, 1): got {lora_dropout}. 0.05 is usual.")
    return export(selection, lora_alpha=lora_alpha, lora_dropout=lora_dropout)
