"""What does tuning cost when the part that never changes runs once? Published models at full width, random weights.

    python -m benchmarks.tuning                                                    # a quarter of Qwen2-VL-2B, on a CPU
    python -m benchmarks.tuning --device cuda --model Qwen2.5-VL-3B --share 1      # whole, on a GPU

One layer is tuned by LoRA, the lowest of the top, the middle or the bottom third. Three ways train on the same batches,
each an epoch at a time, in turn:

    ours         the prefix on disk, logits where the answer is predicted
    same_logits  no cache, logits where the answer is predicted: against it the cache's own share shows
    peft         PEFT in transformers' Trainer as it comes: no cache, logits at every position

What a way has to do in every epoch is in its time, the processor's work on pictures and texts too; `loading` is that
work, which other processes could do beside a GPU, so that ratios are given without it too. Seconds are those of one
epoch, medians over all epochs but the first; `caching` is what filling the cache took, `hashing` what naming it took.
Peak memory is what one forward and backward pass makes and keeps, weights and inputs apart.

The parts of an example's time are measured apart, and from them comes the cost at the model's own depth, where only a
share of its layers ran. JSON is written after each part.
"""

import argparse
import contextlib
import functools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from benchmarks.scoring import peak_bytes
from benchmarks.whole_models import WHOLE_MODELS, build_whole_model, depths
from PIL import Image
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from headimpact.models.decoder_cut import take_layer_inputs
from headimpact.models.loading import LoadedModel
from headimpact.selection.selection import Selection
from headimpact.tuning.answer_trainer import train_answers
from headimpact.tuning.examples import TuningExample
from headimpact.tuning.language_inputs import encode_batch
from headimpact.tuning.lora import attached_lora, build_lora_config
from headimpact.tuning.loss import answer_loss
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.prefix_cache import PrefixCache
from headimpact.tuning.rows import TuningBatch

ANSWER = "a large red square on a blue background, near the top of it, and a small circle beside it"
WAYS = ("ours", "same_logits", "peft")
Batches = list[list[int]]


def make_examples(count: int, size_hw: tuple[int, int]) -> list[TuningExample]:
    """Make pictures of noise with one answer each."""
    pictures = [
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (*size_hw, 3), dtype=np.uint8))
        for index in range(count)
    ]
    return [
        TuningExample(str(index), functools.partial(Image.Image.copy, picture), "Describe the main object.", ANSWER)
        for index, picture in enumerate(pictures)
    ]


def clock(loaded: LoadedModel) -> float:
    """Give the time: by the clock on a GPU, on a CPU by processor time, which others on the machine do not take."""
    if loaded.device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(loaded: LoadedModel, work: Callable[[], object], *, times: int = 3) -> float:
    """Give the median seconds of some work, warmed up."""
    work()
    seconds = []
    for _ in range(times):
        start = clock(loaded)
        work()
        seconds.append(clock(loaded) - start)
    return statistics.median(seconds)


def train(
    way: str, loaded: LoadedModel, examples: list[TuningExample], batches: Batches, layer: int, cache: PrefixCache
) -> tuple[float, float]:
    """Train one epoch in one way, with an adapter of its own: its seconds from the first batch on, those of loading."""
    options = TuningOptions(max_steps=len(batches), batch_size=len(batches[0]), learning_rate=1e-4)
    config = build_lora_config(selection(loaded, layer))
    starts: list[float] = []
    ends: list[float] = []

    def encoded(indices: list[int]) -> dict[str, Any]:
        starts.append(clock(loaded))
        batch = cache.batch(indices) if way == "ours" else encode_batch(loaded, [examples[one] for one in indices])
        ends.append(clock(loaded))
        plain = {**batch.inputs, "labels": batch.labels}
        return plain if way == "peft" else {"inputs": batch.inputs, "labels": batch.labels}

    loader: Any = DataLoader(range(len(examples)), batch_sampler=batches, collate_fn=encoded)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as scratch, attached_lora(loaded.model, config) as attached:
        if way == "peft":
            plain_trainer(attached, loader, options, loaded, scratch).train()
        else:
            arguments = {"options": options, "device": loaded.device, "scratch": Path(scratch), "name": way}
            if way == "ours":
                with cache.running(attached):
                    train_answers(attached, loader, on_step=lambda _: None, **arguments)
            else:
                train_answers(attached, loader, on_step=lambda _: None, **arguments)
        return clock(loaded) - starts[0], sum(ends) - sum(starts)


def plain_trainer(attached: Any, loader: Any, options: TuningOptions, loaded: LoadedModel, scratch: str) -> Trainer:
    """Make transformers' Trainer as it comes, on the planned batches."""

    class Planned(Trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            return loader

    arguments = TrainingArguments(
        output_dir=scratch, max_steps=options.max_steps, per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate, remove_unused_columns=False, label_names=["labels"],
        use_cpu=loaded.device.type == "cpu", dataloader_pin_memory=False, disable_tqdm=True, logging_strategy="no",
        save_strategy="no", eval_strategy="no", report_to="none",
    )  # fmt: skip
    trainer = Planned(model=attached, args=arguments, callbacks=list[TrainerCallback]())
    trainer.remove_callback(PrinterCallback)
    return trainer


def selection(loaded: LoadedModel, layer: int) -> Selection:
    """Choose one layer."""
    return Selection(strategy="given", layers=(layer,), architecture=loaded.family.architecture(loaded.config))


def memory(way: str, loaded: LoadedModel, examples: list[TuningExample], layer: int, cache: PrefixCache) -> int:
    """Give the bytes that one forward and backward pass of a batch makes and keeps at its peak."""
    config, indices = build_lora_config(selection(loaded, layer)), list(range(len(examples)))
    batch = cache.batch(indices) if way == "ours" else encode_batch(loaded, examples)
    with attached_lora(loaded.model, config) as attached:
        attached.train()

        def step() -> None:
            if way == "peft":
                attached(**batch.inputs, labels=batch.labels, use_cache=False).loss.backward()
            else:
                answer_loss(attached, batch.inputs, batch.labels).backward()

        with cache.running(attached) if way == "ours" else contextlib.nullcontext():
            return peak(loaded, step)


def peak(loaded: LoadedModel, step: Callable[[], object]) -> int:
    """Give the bytes that a step makes and keeps at its peak: the allocator's count on a GPU, our own on a CPU."""
    if loaded.device.type != "cuda":
        return peak_bytes(step)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def measure_third(
    name: str, layer: int, loaded: LoadedModel, examples: list[TuningExample], args: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Measure the three ways with one tuned layer."""
    start = clock(loaded)
    cache = PrefixCache(loaded, examples, layer_idx=layer, folder=folder)
    named = clock(loaded)
    cache.fill(range(len(examples)))
    filled = clock(loaded)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    loading: dict[str, list[float]] = {way: [] for way in WAYS}
    for epoch in range(args.epochs):
        order = np.random.default_rng(epoch).permutation(len(examples)).tolist()
        batches = [order[at : at + args.batch_size] for at in range(0, len(order), args.batch_size)]
        for way in WAYS if epoch % 2 else WAYS[::-1]:
            whole, of_loading = train(way, loaded, examples, batches, layer, cache)
            seconds[way].append(whole)
            loading[way].append(of_loading)
    epoch_of = {way: statistics.median(found[1:]) for way, found in seconds.items()}
    rest_of = {
        way: statistics.median(whole - part for whole, part in zip(seconds[way][1:], loading[way][1:], strict=True))
        for way in WAYS
    }
    few = examples[: args.batch_size]
    return {
        "third": name,
        "layer": layer,
        "layers": int(loaded.config.get_text_config().num_hidden_layers),
        "epoch_seconds": seconds,
        "loading_seconds": loading,
        "step_seconds": {way: found / len(batches) for way, found in epoch_of.items()},
        "hashing_seconds": named - start,
        "caching_seconds": filled - named,
        "cache_bytes": cache.cost.bytes,
        "ratio_to": {way: epoch_of["ours"] / epoch_of[way] for way in WAYS[1:]},
        "ratio_without_loading_to": {way: rest_of["ours"] / rest_of[way] for way in WAYS[1:]},
        "epochs_until_it_pays": (filled - named) / (epoch_of["peft"] - epoch_of["ours"]),
        "peak_bytes": {way: memory(way, loaded, few, layer, cache) for way in WAYS},
    }


def measure_parts(loaded: LoadedModel, example: TuningExample, folder: Path) -> dict[str, float]:
    """Time the parts of one example: what is done once a model, once a layer of the tower, once a decoder layer."""
    batch, model = encode_batch(loaded, [example]), loaded.model
    backbone, layers = loaded.family.backbone(model), loaded.family.decoder(model).layers

    def tower() -> None:
        with torch.no_grad():
            backbone.get_image_features(batch.inputs["pixel_values"], batch.inputs["image_grid_thw"])

    def below(cut: int) -> Callable[[], object]:
        def run() -> None:
            with torch.no_grad():
                take_layer_inputs(loaded, batch.inputs, cut)

        return run

    last = len(layers) - 1
    per_layer = (timed(loaded, below(last)) - timed(loaded, below(0))) / last
    steps = {cut: timed(loaded, _step(loaded, example, cut, folder)) for cut in (0, last)}
    return {
        "processor": timed(loaded, lambda: encode_batch(loaded, [example])),
        "tower_layer": timed(loaded, tower) / len(backbone.visual.blocks),
        "layer_forward": per_layer,
        "layer_backward": max(0.0, (steps[0] - steps[last]) / last - per_layer),
        "head_everywhere": timed(loaded, _head(model, batch, everywhere=True)),
        "head_at_answer": timed(loaded, _head(model, batch, everywhere=False)),
    }


def _step(loaded: LoadedModel, example: TuningExample, cut: int, folder: Path) -> Callable[[], object]:
    """Give a step from a layer on that tunes it."""
    cache = PrefixCache(loaded, [example], layer_idx=cut, folder=folder)
    cache.fill([0])
    batch = cache.batch([0])

    def run() -> None:
        config = build_lora_config(selection(loaded, cut))
        with attached_lora(loaded.model, config) as attached, cache.running(attached):
            answer_loss(attached, batch.inputs, batch.labels).backward()

    return run


def _head(model: Any, batch: TuningBatch, *, everywhere: bool) -> Callable[[], object]:
    """Give logits and loss, forward and backward, everywhere or where the answer is predicted."""
    targets = batch.labels[0, 1:]
    rows = torch.ones_like(targets, dtype=torch.bool) if everywhere else targets != -100
    width = model.lm_head.in_features
    states = torch.randn(int(rows.sum()), width, dtype=model.dtype, device=model.device, requires_grad=True)
    wanted, weight = targets[rows].clamp(min=0), model.lm_head.weight.detach()

    def run() -> None:
        functional.cross_entropy(functional.linear(states, weight).float(), wanted).backward()

    return run


def full_depth(parts: dict[str, float], layer: int, *, layers: int, tower: int) -> dict[str, float]:
    """Put an example's seconds together for the model's own depth, one layer tuned."""
    above = layers - layer
    each = parts["layer_forward"] + parts["layer_backward"]
    ours = above * each + parts["head_at_answer"]
    prefix = parts["processor"] + tower * parts["tower_layer"] + layer * parts["layer_forward"]
    return {
        "layer": layer,
        "ours_seconds": ours,
        "caching_seconds": prefix,
        "ratio_to_same_logits": ours / (prefix + ours),
        "ratio_to_peft": ours / (prefix + ours + parts["head_everywhere"] - parts["head_at_answer"]),
    }


def measured_part(content: dict[str, Any]) -> str:
    """Write the table of `docs/tuning.md`."""
    lines = [
        "| tuned | layer | epoch / PEFT | epoch / same logits | filling pays after | memory / PEFT | full depth / PEFT "
        "| full depth / same logits |",
        f"|---|---:|{'---:|' * 6}",
    ]
    for row in content["rows"]:
        deep, peak = content["full_depth"][row["third"]], row["peak_bytes"]
        lines.append(
            f"| {row['third']} third | {row['layer']} of {row['layers']} | {row['ratio_to']['peft']:.2f} | "
            f"{row['ratio_to']['same_logits']:.2f} | {row['epochs_until_it_pays']:.2f} epochs | "
            f"{peak['ours'] / peak['peft']:.2f} | {deep['ratio_to_peft']:.2f} | {deep['ratio_to_same_logits']:.2f} |"
        )
    return "\n" + "\n".join(lines) + "\n"


def gpu_part(content: dict[str, Any]) -> str:
    """Write the table of a whole model for `docs/tuning.md`."""
    columns = (
        "tuned", "layer", "seconds a step: ours", "same logits", "PEFT", "epoch / PEFT", "epoch / same logits",
        "naming and filling the cache", "memory: ours", "PEFT",
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    for row in content["rows"]:
        steps, peak = row["step_seconds"], row["peak_bytes"]
        lines.append(
            f"| {row['third']} third | {row['layer']} of {row['layers']} | {steps['ours']:.3f} | "
            f"{steps['same_logits']:.3f} | {steps['peft']:.3f} | {row['ratio_to']['peft']:.2f} | "
            f"{row['ratio_to']['same_logits']:.2f} | {row['hashing_seconds']:.1f} + {row['caching_seconds']:.1f} s | "
            f"{peak['ours'] / 2**30:.1f} GiB | {peak['peft'] / 2**30:.1f} GiB |"
        )
    return "\n" + "\n".join(lines) + "\n"


def thirds(num_layers: int) -> dict[str, int]:
    """Give the lowest layer of each third."""
    return {"bottom": 0, "middle": math.ceil(num_layers / 3), "top": math.ceil(2 * num_layers / 3)}


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="Qwen2-VL-2B", choices=list(WHOLE_MODELS))
    parser.add_argument("--share", type=int, default=4, help="one in so many layers of tower and decoder; 1 for all")
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--size", type=int, nargs=2, default=[336, 448], help="height and width of the pictures")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tuning.json"))
    return parser.parse_args()


def describe(loaded: LoadedModel, example: TuningExample, args: argparse.Namespace) -> dict[str, Any]:
    """Say what is measured, and on what."""
    tokens, on_gpu = encode_batch(loaded, [example]).inputs["input_ids"], loaded.device.type == "cuda"
    return {
        "what": "tuning with the prefix kept against tuning without; ratios are ours / other, epochs but the first",
        "model": args.model,
        "share": args.share,
        "image_tokens": int((tokens == loaded.config.image_token_id).sum()),
        "length": tokens.shape[1],
        "examples": args.examples,
        "batch_size": args.batch_size,
        "epochs": args.epochs,
        "parameters": sum(one.numel() for one in loaded.model.parameters()),
        "weight_bytes": sum(one.nbytes for one in loaded.model.parameters()),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "clock": "wall" if on_gpu else "processor time",
        "threads": torch.get_num_threads(),
        "dtype": loaded.dtype_name,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "rows": [],
    }


def main() -> None:
    """Measure and write the JSON after each part."""
    args = parse_arguments()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    layers, tower = depths(args.model)

    def report(found: Any) -> None:
        print(json.dumps(found), flush=True)
        args.out.write_text(json.dumps(content, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loaded = build_whole_model(args.model, folder, share=args.share, device=args.device)
        examples = make_examples(args.examples, tuple(args.size))
        content = describe(loaded, examples[0], args)
        for third, layer in thirds(layers // args.share).items():
            content["rows"].append(measure_third(third, layer, loaded, examples, args, folder / "cache"))
            report(content["rows"][-1])
        content["parts"] = parts = measure_parts(loaded, examples[0], folder / "cache")
        report(parts)
        content["full_depth"] = {
            third: full_depth(parts, layer, layers=layers, tower=tower) for third, layer in thirds(layers).items()
        }
        report(content["full_depth"])


if __name__ == "__main__":
    main()
