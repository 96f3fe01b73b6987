"""transformers' Trainer, held to planned batches and the answer's loss, silent and without files."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from headimpact.core.errors import RunFailedError
from headimpact.tuning.language_inputs import autocast
from headimpact.tuning.loss import answer_loss
from headimpact.tuning.options import TuningOptions


def train_answers(
    attached: peft.PeftModel,
    loader: "DataLoader[dict[str, Any]]",
    *,
    options: TuningOptions,
    device: torch.device,
    on_step: Callable[[float], None],
    scratch: Path,
    name: str,
) -> None:
    """Train an attached adapter on every batch of a loader, in its order, once.

    Processes that Accelerate started train together (DistributedDataParallel): each is given its own part of every
    batch, and losses and gradients are those of all parts.

    Args:
        attached: The model with LoRA; its trainable parameters are changed.
        loader: Gives `{"inputs": ..., "labels": ...}`; as many batches as steps times accumulation.
        options: How to train.
        device: Where the model is.
        on_step: Called after every optimiser step with its mean loss.
        scratch: An empty folder that the Trainer may call its own; nothing is left in it.
        name: What is tuned, for messages.

    Raises:
        RunFailedError: If a loss is not finite; names what is tuned and the step.
    """
    arguments = TrainingArguments(
        output_dir=str(scratch),
        max_steps=len(loader) // options.gradient_accumulation_steps,
        per_device_train_batch_size=options.batch_size,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_ratio,
        lr_scheduler_type=options.lr_scheduler_type,
        max_grad_norm=options.max_grad_norm,
        seed=options.seed,
        optim="adamw_torch",
        label_names=["labels"],
        remove_unused_columns=False,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=False,
        disable_tqdm=True,
        logging_strategy="no",
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
    )
    # One process drives one device here; several visible GPUs would be wrapped in DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    trainer = _AnswerTrainer(attached, arguments, loader=loader, on_step=on_step, bf16=options.bf16, name=name)
    try:
        with _checkpointing(attached.get_base_model()) if options.gradient_checkpointing else contextlib.nullcontext():
            trainer.train()
    finally:
        if arguments.device != device:  # the Trainer knows only the first GPU
            attached.to(device)


@contextlib.contextmanager
def _checkpointing(model: Any) -> Iterator[None]:
    """Let a model keep what enters each layer only, while the block runs."""
    # transformers 5.20 gave the methods new names; the old ones warn.
    verb = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    getattr(model, f"{verb}_checkpointing_enable")({"use_reentrant": False})
    try:
        yield
    finally:
        getattr(model, f"{verb}_checkpointing_disable")()


class _AnswerTrainer(Trainer):  # type: ignore[misc]
    """A Trainer whose loader and loss are ours."""

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: peft.PeftModel,
        arguments: TrainingArguments,
        *,
        loader: "DataLoader[dict[str, Any]]",
        on_step: Callable[[float], None],
        bf16: bool,
        name: str,
    ) -> None:
        self.step_losses: list[Tensor] = []
        self._loader = loader
        self._bf16 = bf16
        self._name = name
        super().__init__(model=model, args=arguments, callbacks=[_StepCallback(self.step_losses, on_step)])
        self.model_accepts_loss_kwargs = True  # so that targets are counted: the loss is ours, whatever the model takes
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self) -> "DataLoader[dict[str, Any]]":
        """Give the planned batches as they are: no shuffling, no sharding."""
        return self._loader

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: ARG002 - the Trainer's signature
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Give the answer's loss, scaled to the optimiser step, or stop where it is not finite.

        Raises:
            RunFailedError: If the loss is not finite, in this or another process.
        """
        with autocast(self.args.device, self._bf16):
            loss = answer_loss(model, inputs["inputs"], inputs["labels"], num_targets=num_items_in_batch)
        of_all = self.accelerator.reduce(loss.detach(), reduction="sum")
        if not torch.isfinite(of_all):
            raise RunFailedError(
                f"Tuning of {self._name} diverged in step {self.state.global_step + 1} of {self.state.max_steps}: the "
                f"loss is {of_all.item()}, expected a finite number. Lower --learning-rate (now "
                f"{self.args.learning_rate}), lengthen --warmup-ratio, or use --dtype float32."
            )
        self.step_losses.append(of_all)
        scaled: Tensor = loss * self.accelerator.num_processes  # gradients of processes are averaged, not summed
        return scaled

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:  # noqa: ARG002 - the Trainer's signature
        """Count nothing; the Trainer's estimate needs token ids, which kept language inputs have not."""
        return 0


class _StepCallback(TrainerCallback):  # type: ignore[misc]
    """Hands on every optimiser step's loss, the sum over its batches."""

    def __init__(self, step_losses: list[Tensor], on_step: Callable[[float], None]) -> None:
        self._step_losses = step_losses
        self._on_step = on_step

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Hand on the loss and forget it."""
        loss = torch.stack(self._step_losses).sum().item()
        self._step_losses.clear()
        self._on_step(loss)
