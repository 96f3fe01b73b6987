"""What does tuning cost when the part that never changes runs once? Qwen2-VL-2B at full width, a quarter of its layers.

    python -m benchmarks.tuning

One layer is tuned by LoRA, the lowest of the top, the middle or the bottom third. Three ways train on the same batches,
each an epoch at a time, in turn:

    ours         the prefix on disk, logits where the answer is predicted
    same_logits  no cache, logits where the answer is predicted: against it the cache's own share shows
    peft         PEFT in transformers' Trainer as it comes: no cache, logits at every position

What a way has to do in every epoch is in its time, the processor's work on pictures and texts too. Seconds are those of
one epoch, medians over all epochs but the first; `caching` is what filling the cache took. Peak memory is what one
forward and backward pass makes and keeps, weights and inputs apart.

The parts of an example's time are measured apart, and from them comes the cost at the model's own depth. Writes JSON.
"""

import argparse
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
from benchmarks.scoring import peak_bytes
from PIL import Image
from tests.tiny_models.qwen_vl import QWEN_TEMPLATE, qwen_tokenizer
from torch.nn import functional
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from headimpact.models.decoder_cut import take_layer_inputs
from headimpact.models.loading import LoadedModel, load_model
from headimpact.selection.selection import Selection
from headimpact.tuning.answer_trainer import train_answers
from headimpact.tuning.examples import TuningExample
from headimpact.tuning.language_inputs import encode_batch
from headimpact.tuning.lora import attached_lora, build_lora_config
from headimpact.tuning.loss import answer_loss
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.prefix_cache import PrefixCache
from headimpact.tuning.rows import TuningBatch

FULL_LAYERS, FULL_TOWER = 28, 32
VOCABULARY = 151_936
ANSWER = "a large red square on a blue background, near the top of it, and a small circle beside it"
WAYS = ("ours", "same_logits", "peft")
Batches = list[list[int]]


def save_checkpoint(folder: Path, *, share: int) -> None:
    """Write Qwen2-VL-2B at full width with a `share`-th of its layers; tokenizer and weights are our own."""
    tokenizer = qwen_tokenizer()
    special = {
        name: tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image_token_id", "<|image_pad|>"),
            ("video_token_id", "<|video_pad|>"),
            ("vision_start_token_id", "<|vision_start|>"),
            ("vision_end_token_id", "<|vision_end|>"),
        )
    }
    text = {
        "vocab_size": VOCABULARY, "hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12,
        "num_hidden_layers": FULL_LAYERS // share, "num_key_value_heads": 2, "max_position_embeddings": 32_768,
        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
    }  # fmt: skip
    vision = {
        "depth": FULL_TOWER // share, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4,
    }  # fmt: skip
    torch.manual_seed(0)
    config = Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **special)
    Qwen2VLForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)


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
) -> float:
    """Train one epoch in one way, with an adapter of its own, and give its seconds from the first batch on."""
    options = TuningOptions(max_steps=len(batches), batch_size=len(batches[0]), learning_rate=1e-4)
    config = build_lora_config(selection(loaded, layer))
    starts: list[float] = []

    def encoded(indices: list[int]) -> dict[str, Any]:
        starts.append(clock(loaded))
        batch = cache.batch(indices) if way == "ours" else encode_batch(loaded, [examples[one] for one in indices])
        plain = {**batch.inputs, "labels": batch.labels}
        return plain if way == "peft" else {"inputs": batch.inputs, "labels": batch.labels}

    loader: Any = DataLoader(range(len(examples)), batch_sampler=batches, collate_fn=encoded)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as scratch, attached_lora(loaded.model, config) as attached:
        if way == "peft":
            plain_trainer(attached, loader, options, loaded, scratch).train()
        else:
            arguments = {"options": options, "device": loaded.device, "scratch": Path(scratch)}
            if way == "ours":
                with cache.running(attached):
                    train_answers(attached, loader, on_step=lambda _: None, **arguments)
            else:
                train_answers(attached, loader, on_step=lambda _: None, **arguments)
        return clock(loaded) - starts[0]


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

        if way != "ours":
            return peak_bytes(step)
        with cache.running(attached):
            return peak_bytes(step)


def measure_third(
    name: str, layer: int, loaded: LoadedModel, examples: list[TuningExample], args: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Measure the three ways with one tuned layer."""
    cache = PrefixCache(loaded, examples, layer_idx=layer, folder=folder)
    start = clock(loaded)
    cache.fill(range(len(examples)))
    caching = clock(loaded) - start
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for epoch in range(args.epochs):
        order = np.random.default_rng(epoch).permutation(len(examples)).tolist()
        batches = [order[at : at + args.batch_size] for at in range(0, len(order), args.batch_size)]
        for way in WAYS if epoch % 2 else WAYS[::-1]:
            seconds[way].append(train(way, loaded, examples, batches, layer, cache))
    epoch_of = {way: statistics.median(found[1:]) for way, found in seconds.items()}
    gain = epoch_of["peft"] - epoch_of["ours"]
    few = examples[: args.batch_size]
    return {
        "third": name,
        "layer": layer,
        "layers": int(loaded.config.get_text_config().num_hidden_layers),
        "epoch_seconds": seconds,
        "caching_seconds": caching,
        "cache_bytes": cache.cost.bytes,
        "ratio_to": {way: epoch_of["ours"] / epoch_of[way] for way in WAYS[1:]},
        "epochs_until_it_pays": caching / gain,
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


def full_depth(parts: dict[str, float], layer: int) -> dict[str, float]:
    """Put an example's seconds together for the model's own depth, one layer tuned."""
    above = FULL_LAYERS - layer
    each = parts["layer_forward"] + parts["layer_backward"]
    ours = above * each + parts["head_at_answer"]
    prefix = parts["processor"] + FULL_TOWER * parts["tower_layer"] + layer * parts["layer_forward"]
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


def thirds(num_layers: int) -> dict[str, int]:
    """Give the lowest layer of each third."""
    return {"bottom": 0, "middle": math.ceil(num_layers / 3), "top": math.ceil(2 * num_layers / 3)}


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=int, default=4, help="one in so many layers of tower and decoder; 1 for all")
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3, help="the first is not counted")
    parser.add_argument("--size", type=int, nargs=2, default=[336, 448], help="height and width of the pictures")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/tuning.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_checkpoint(folder / "model", share=args.share)
        loaded = load_model(folder / "model", device=args.device, dtype="bfloat16")
        examples = make_examples(args.examples, tuple(args.size))
        layers = thirds(FULL_LAYERS // args.share)
        tokens = encode_batch(loaded, examples[:1]).inputs["input_ids"]
        content: dict[str, Any] = {
            "what": "tuning with the prefix kept against tuning without; ratios are ours / other, epochs but the first",
            "model": "Qwen2-VL-2B",
            "share": args.share,
            "image_tokens": int((tokens == loaded.config.image_token_id).sum()),
            "length": tokens.shape[1],
            "examples": args.examples,
            "batch_size": args.batch_size,
            "epochs": args.epochs,
            "device": torch.cuda.get_device_name() if loaded.device.type == "cuda" else "cpu",
            "clock": "wall" if loaded.device.type == "cuda" else "processor time",
            "threads": torch.get_num_threads(),
            "dtype": loaded.dtype_name,
            "torch": torch.__version__,
            "rows": [],
        }
        for third, layer in layers.items():
            content["rows"].append(measure_third(third, layer, loaded, examples, args, folder / "cache"))
            print(json.dumps(content["rows"][-1]), flush=True)
        content["parts"] = measure_parts(loaded, examples[0], folder / "cache")
        content["full_depth"] = {
            third: full_depth(content["parts"], layer) for third, layer in thirds(FULL_LAYERS).items()
        }
        print(json.dumps({name: content[name] for name in ("parts", "full_depth")}), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
