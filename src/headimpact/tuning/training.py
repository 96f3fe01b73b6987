"""Trains LoRA on the selected layers or heads and saves the adapter; transformers' Trainer runs the steps.

In: a base model, examples, a `Selection`, `TuningOptions`. Out: `adapter/` (PEFT's own format, loads in plain
PEFT) and `tuning.json`, and the base model as it was.
"""

import contextlib
import dataclasses
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import torch
from accelerate import PartialState
from safetensors import SafetensorError
from torch.utils.data import DataLoader
from tqdm import tqdm

from headimpact.core.artifacts import atomic_folder, refuse_used, write_json
from headimpact.core.errors import RunFailedError
from headimpact.core.lora_arithmetic import TrainableCount
from headimpact.core.provenance import collect_provenance, hash_texts
from headimpact.models.loading import LoadedModel
from headimpact.selection.selection import Selection
from headimpact.tuning.answer_trainer import train_answers
from headimpact.tuning.batch_loader import Cache, batch_loader, check_cache
from headimpact.tuning.examples import TuningExample, plan_batches
from headimpact.tuning.head_lora import build_head_lora_config, hold_to_heads
from headimpact.tuning.lora import attached_lora, build_lora_config, count_parameters
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.peak_memory import peak_memory, start_memory_count
from headimpact.tuning.prefix_cache import PrefixCache
from headimpact.tuning.random_state import seeded

SCHEMA = "tuning/1"
ADAPTER_FOLDER = "adapter"
RECORD_FILE = "tuning.json"
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TuningResult:
    """What a tuning run gave.

    Attributes:
        adapter: Folder of the adapter, in PEFT's format.
        count: Trained parameters beside the model's.
        losses: Mean loss of the answer's tokens in each optimiser step.
        image_hashes: Hash of every picture that was trained on, sorted; `hash_texts([image_id])` each.
        seconds: Wall time of the training steps.
        peak_memory_bytes: Most memory allocated on the GPU, or the process's peak resident size on a CPU.
    """

    adapter: Path
    count: TrainableCount
    losses: tuple[float, ...]
    image_hashes: tuple[str, ...]
    seconds: float
    peak_memory_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Give JSON-serialisable values."""
        return {
            "trainable_parameters": self.count.trainable,
            "total_parameters": self.count.total,
            "trainable_share": self.count.share,
            "steps": len(self.losses),
            "losses": list(self.losses),
            "image_hashes": list(self.image_hashes),
            "seconds": round(self.seconds, 3),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def tune_adapter(
    loaded: LoadedModel,
    examples: Sequence[TuningExample],
    selection: Selection,
    *,
    options: TuningOptions,
    out: Path,
    cache: Cache | None = None,
    overwrite: bool = False,
    show_progress: bool = True,
) -> TuningResult:
    """Train LoRA on the selected layers, or held to the selected heads, with the loss on the answers only, and save it.

    The order of examples follows from their number and the seed alone, so that arms with other layers see the
    same batches. Equal arguments give equal adapters on a CPU; GPU kernels may differ in the last bits. Processes
    that Accelerate started share every batch out, so that the adapter is that of one process; the main one writes.
    The base model is left as it was, also after an error. `tuning.json` is written last: without it a run is
    unfinished.

    Args:
        loaded: A base model without adapter, float32 or bfloat16; LoRA's weights are float32.
        examples: The training set.
        selection: Which layers or heads.
        options: How to train.
        out: Run folder; gets `adapter/` and `tuning.json`.
        cache: What is kept from step to step and from arm to arm: language inputs, or what enters the lowest tuned
            layer; without it the vision tower runs in every step.
        overwrite: Replace an adapter that is already there.
        show_progress: Show steps, loss and remaining time on stderr.

    Returns:
        Adapter folder, counts and losses.

    Raises:
        OutputInUseError: If `out` holds an adapter and `overwrite` is off; nothing is trained then.
        OptionError: If nothing is selected, there is no example, the cache is of other examples or begins above a
            tuned layer, it outgrows its place, or the model already carries an adapter.
        UnknownNameError: If the model has no such projection, or PEFT no such option.
        UnsupportedModelError: If the selection does not fit the model.
        RunFailedError: If the loss or the adapter stops being finite, memory runs out, or a file cannot be
            written.
    """
    refuse_used(out / ADAPTER_FOLDER, overwrite=overwrite)
    refuse_used(out / RECORD_FILE, overwrite=overwrite)
    batches = plan_batches(len(examples), options)
    config = _lora_config(selection, options)
    if cache is not None:
        check_cache(cache, loaded, examples, selection, bf16=options.bf16)
    processes = PartialState(cpu=loaded.device.type == "cpu")
    name = f"{out} ({selection.strategy}, layers {' '.join(map(str, selection.layers))})"
    if isinstance(cache, PrefixCache):
        cache.fill(index for batch in batches for index in batch)
    with seeded(options.seed, loaded.device), attached_lora(loaded.model, config) as attached:
        if selection.heads is not None:
            hold_to_heads(attached, selection.architecture, selection.heads)
        count = count_parameters(attached)
        _LOG.info("Tuning %s in layers %s", count, " ".join(map(str, selection.layers)))
        start_memory_count(loaded.device)
        start = time.perf_counter()
        with cache.running(attached) if isinstance(cache, PrefixCache) else contextlib.nullcontext():
            losses = _train(
                attached,
                batch_loader(batches, loaded, examples, cache=cache, processes=processes),
                loaded.device,
                options,
                name=name,
                show_progress=show_progress and processes.is_main_process,
            )
        result = TuningResult(
            adapter=out / ADAPTER_FOLDER,
            count=count,
            losses=tuple(losses),
            image_hashes=_image_hashes(examples, batches),
            seconds=time.perf_counter() - start,
            peak_memory_bytes=peak_memory(loaded.device),
        )
        if processes.is_main_process:
            _save_adapter(attached, result.adapter, overwrite=overwrite)
            _write_record(out / RECORD_FILE, result, loaded, selection, options, cache=cache)
    processes.wait_for_everyone()
    return result


def _lora_config(selection: Selection, options: TuningOptions) -> peft.LoraConfig:
    """Turn the options that are LoRA's into its config."""
    given = {
        "r": options.r,
        "lora_alpha": options.lora_alpha,
        "lora_dropout": options.lora_dropout,
        "target_modules": options.target_modules,
        **options.peft_options,
    }
    if selection.heads is not None:
        return build_head_lora_config(selection.architecture, selection.heads, **given)
    return build_lora_config(selection, **given)


def _train(
    attached: peft.PeftModel,
    loader: "DataLoader[dict[str, Any]]",
    device: torch.device,
    options: TuningOptions,
    *,
    name: str,
    show_progress: bool,
) -> list[float]:
    """Run all steps and give their losses.

    Raises:
        RunFailedError: If memory runs out or the adapter is not finite at the end.
    """
    steps = len(loader) // options.gradient_accumulation_steps
    losses: list[float] = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="headimpact-tuning-") as scratch,
            tqdm(total=steps, desc="tune", unit="step", file=sys.stderr, disable=not show_progress) as bar,
        ):

            def on_step(loss: float) -> None:
                losses.append(loss)
                bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
                bar.update()

            train_answers(
                attached, loader, options=options, device=device, on_step=on_step, scratch=Path(scratch), name=name
            )
    except torch.OutOfMemoryError as error:
        raise RunFailedError(
            f"Out of memory on {device} in step {len(losses) + 1} with batch_size={options.batch_size}: {error}. "
            "Lower --batch-size and raise --gradient-accumulation-steps by the same factor."
        ) from error
    for weight, parameter in attached.named_parameters():
        if parameter.requires_grad and not torch.isfinite(parameter).all():
            raise RunFailedError(
                f"Tuning of {name} diverged in its last step ({len(losses)}): {weight} is not finite, expected finite "
                f"weights. Lower --learning-rate (now {options.learning_rate})."
            )
    return losses


def _save_adapter(attached: peft.PeftModel, folder: Path, *, overwrite: bool) -> None:
    """Save in PEFT's own format, whole or not at all.

    Raises:
        RunFailedError: If the file system refuses.
    """
    with atomic_folder(folder, overwrite=overwrite) as temporary:
        try:
            # "auto" would ask a model hub for the base model's vocabulary.
            attached.save_pretrained(str(temporary), save_embedding_layers=False)
        except SafetensorError as error:
            raise RunFailedError(
                f"Cannot write {folder}: {error}. Free space or choose another --out, then run again."
            ) from error


def _write_record(
    path: Path,
    result: TuningResult,
    loaded: LoadedModel,
    selection: Selection,
    options: TuningOptions,
    *,
    cache: Cache | None,
) -> None:
    """Write `tuning.json`, the mark of a finished run."""
    prefix = (
        {"layer_idx": cache.layer_idx, **dataclasses.asdict(cache.cost)} if isinstance(cache, PrefixCache) else None
    )
    content = {
        **result.to_json(),
        "language_inputs_kept": cache is not None,
        "prefix_cache": prefix,
        "options": options.to_json(),
        "selection": selection.to_json(),
        "provenance": collect_provenance(seed=options.seed, **loaded.describe()),
    }
    write_json(path, content, schema=SCHEMA)


def _image_hashes(examples: Sequence[TuningExample], batches: list[list[int]]) -> tuple[str, ...]:
    """Hash the names of all pictures that some batch holds."""
    used = {examples[index].image_id for batch in batches for index in batch}
    return tuple(sorted(hash_texts([image_id]) for image_id in used))
