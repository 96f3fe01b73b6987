"""What a tuning run may be told, checked before a model loads; no torch."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.registry import unknown_name_message

SCHEDULERS = ("linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")
"""Learning rate schedules, by transformers' names."""

ONLY_PYTHON = ("epochs", "max_grad_norm")
"""Numbers that no flag sets."""

_SEEDS = 2**32


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuningOptions:
    """How an adapter is trained; names as in PEFT and in transformers' `TrainingArguments`.

    Attributes:
        max_steps: Optimiser steps; give this or `epochs`, not both.
        epochs: Passes over the examples, rounded up to whole steps; 1 where neither is given.
        learning_rate: Peak learning rate of AdamW.
        batch_size: Examples per forward pass; several processes share them out.
        gradient_accumulation_steps: Forward passes per optimiser step.
        warmup_ratio: Share of the steps spent in linear warm-up.
        weight_decay: AdamW's decay of the adapter's weights.
        lr_scheduler_type: One of `SCHEDULERS`.
        max_grad_norm: Gradients are scaled down to this norm; 0 switches that off.
        gradient_checkpointing: Keep what enters each layer only, and run the layers again for their gradients.
        bf16: Compute in bfloat16 (autocast) whatever the weights' format is; sums and losses stay in float32.
        seed: Seed of the order of examples, of the adapter's first weights, and of dropout.
        r: LoRA rank.
        lora_alpha: LoRA scale; the update is multiplied by alpha / r.
        lora_dropout: Share of a tuned projection's inputs dropped in training.
        target_modules: Projections tuned in each chosen layer.
        peft_options: Further fields of `peft.LoraConfig` (`use_dora`, `use_rslora`, `init_lora_weights`).
    """

    max_steps: int | None = None
    epochs: float | None = None
    learning_rate: float = 2e-4
    batch_size: int = 8
    gradient_accumulation_steps: int = 1
    warmup_ratio: float = 0.0
    weight_decay: float = 0.0
    lr_scheduler_type: str = "linear"
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False
    bf16: bool = False
    seed: int = 0
    r: int = 8
    lora_alpha: float = 16
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    peft_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse values that cannot be carried out.

        Raises:
            OptionError: If both `max_steps` and `epochs` are given or a number is outside its range.
            UnknownNameError: If the schedule is unknown.
        """
        if self.max_steps is not None and self.epochs is not None:
            raise OptionError(
                f"Two lengths given: max_steps={self.max_steps} and epochs={self.epochs}; expected one. Drop the other."
            )
        if self.lr_scheduler_type not in SCHEDULERS:
            raise UnknownNameError(unknown_name_message("lr_scheduler_type", self.lr_scheduler_type, SCHEDULERS))
        for name in ("max_steps", "epochs", "learning_rate", "batch_size", "gradient_accumulation_steps", "r"):
            self._require(name, above=0)
        for name in ("weight_decay", "max_grad_norm", "seed"):
            self._require(name, least=0)
        self._require("lora_alpha", above=0)
        for name in ("warmup_ratio", "lora_dropout"):
            self._require(name, least=0)
            if getattr(self, name) >= 1:
                raise OptionError(f"{name} must be below 1, a share: got {getattr(self, name)}. 0.05 is usual.")
        if self.seed >= _SEEDS:
            raise OptionError(f"seed must be below {_SEEDS}: got {self.seed}. Change --seed.")

    def _require(self, name: str, *, above: float | None = None, least: float | None = None) -> None:
        """Refuse a number that is not finite or lies below its bound; None passes.

        Raises:
            OptionError: If the number is refused.
        """
        value = getattr(self, name)
        if value is None:
            return
        bad = (
            not math.isfinite(value) or (above is not None and value <= above) or (least is not None and value < least)
        )
        if bad:
            bound = f"above {above}" if above is not None else f"at least {least}"
            place = name if name in ONLY_PYTHON else f"--{name.replace('_', '-')}"
            raise OptionError(f"{name} must be {bound}: got {value}. Change {place}.")

    def count_steps(self, num_examples: int) -> int:
        """Count the optimiser steps of a run over so many examples.

        Args:
            num_examples: Examples in the training set, at least 1.

        Example:
            >>> TuningOptions(epochs=2, batch_size=4).count_steps(10)
            6
        """
        if self.max_steps is not None:
            return self.max_steps
        batches = math.ceil(num_examples / self.batch_size)
        epochs = 1.0 if self.epochs is None else self.epochs
        return max(1, math.ceil(epochs * batches / self.gradient_accumulation_steps))

    def describe_length(self, num_examples: int) -> str:
        """Say how long a run over so many examples is; the last batch of an epoch may be smaller than the others.

        Args:
            num_examples: Examples in the training set, at least 1.

        Example:
            >>> TuningOptions(max_steps=200, batch_size=8).describe_length(1000)
            '200 steps, 1.6 epochs'
        """
        steps = self.count_steps(num_examples)
        epochs = steps * self.gradient_accumulation_steps / math.ceil(num_examples / self.batch_size)
        return f"{steps} steps, {epochs:,.1f} epochs"

    def to_json(self) -> dict[str, Any]:
        """Give JSON-serialisable values."""
        return {**dataclasses.asdict(self), "target_modules": list(self.target_modules)}
