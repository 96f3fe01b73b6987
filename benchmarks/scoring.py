"""What does scoring cost beside a forward pass? A true-width 2 B language model, cut to a few layers.

Four ways to run the same inputs, in turn, `--pairs` times in one process:

    scoring   capture of the response rows and Head Impact against own and donor masks; no logits
    backbone  the forward pass without logits
    plain     the forward pass with logits at every position
    eager     eager attention with `output_attentions`, every layer's map kept (the usual route)

Prints median ratios with a bootstrap interval, a noise-free twin (counted floating-point operations), and the
largest number of bytes that live inside our own function beyond the attention call it wraps. Writes JSON.
Nothing is skipped in the last layer.
"""

import argparse
import json
import statistics
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2Config, Qwen2ForCausalLM

import headimpact.attention.capture as capture_module
from headimpact.attention.capture import capture_attention
from headimpact.scoring.head_impact import head_impact

RESPONSE_ROWS = 32
DONORS = 64


def build_model(layers: int, device: str, dtype: torch.dtype) -> Any:
    """Make the language model of Qwen2-VL-2B at full width with few layers and random weights."""
    config = Qwen2Config(
        vocab_size=151_936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=layers,
        num_attention_heads=12,
        num_key_value_heads=2,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    return Qwen2ForCausalLM(config).to(device=device, dtype=dtype).eval()


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of tensors made and still alive inside the block, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in _tensors(args)} | {
            t.untyped_storage()._cdata for t in _tensors(tuple((kwargs or {}).values()))
        }
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata in given or storage._cdata in self._known:
                continue
            self._known.add(storage._cdata)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        return result

    def _freed(self, key: int, size: int) -> None:
        if key in self._known:
            self._known.discard(key)
            self.now -= size


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def measure(length: int, batch: int, args: argparse.Namespace, model: Any) -> dict[str, Any]:
    """Measure one sequence length."""
    device = next(model.parameters()).device
    image_tokens = length - RESPONSE_ROWS - 16
    side = int(image_tokens**0.5)
    keys = [torch.arange(4, 4 + side * side)] * batch
    queries = [torch.arange(length - RESPONSE_ROWS - 1, length - 1)] * batch
    inputs = torch.randint(0, 1000, (batch, length), generator=torch.Generator().manual_seed(1)).to(device)
    coverage = (torch.rand(1 + DONORS, side * side, generator=torch.Generator().manual_seed(2)) < 0.1).double()
    coverage, areas = coverage.to(device), torch.full((side * side,), 1.0 / side**2, device=device)
    modules = {index: layer.self_attn for index, layer in enumerate(model.model.layers)}

    def scoring() -> None:
        with capture_attention(modules, queries=queries, keys=keys) as captured:
            model.model(input_ids=inputs, use_cache=False)
        for maps in captured.maps:
            head_impact(maps, coverage, areas)

    def backbone() -> None:
        model.model(input_ids=inputs, use_cache=False)

    def plain() -> None:
        model(input_ids=inputs, use_cache=False)

    def eager() -> None:
        model.set_attn_implementation("eager")
        try:
            model(input_ids=inputs, use_cache=False, output_attentions=True)
        finally:
            model.set_attn_implementation("sdpa")

    ways: dict[str, Callable[[], None]] = {"scoring": scoring, "backbone": backbone, "plain": plain, "eager": eager}
    if batch * length > args.eager_limit:
        del ways["eager"]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for pair in range(args.pairs + 1):
        names = list(ways) if pair % 2 else list(ways)[::-1]
        for name in names:
            seconds = timed(ways[name], device)
            if pair:
                times[name].append(seconds)
    flops = {name: counted_flops(ways[name]) for name in ("scoring", "backbone", "plain")}
    return {
        "length": length,
        "batch": batch,
        "image_tokens": side * side,
        "median_seconds": {name: statistics.median(values) for name, values in times.items()},
        "ratio_to": {name: ratio(times["scoring"], times[name]) for name in ways if name != "scoring"},
        "flop_ratio_to": {name: flops["scoring"] / flops[name] for name in ("backbone", "plain")},
        "bytes_inside": bytes_inside(scoring),
    }


def timed(way: Callable[[], None], device: torch.device) -> float:
    """Time one run."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    way()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def counted_flops(way: Callable[[], None]) -> int:
    """Count floating-point operations of matrix products and attention."""
    with FlopCounterMode(display=False) as counter:
        way()
    return counter.get_total_flops()


def bytes_inside(way: Callable[[], None]) -> int:
    """Give the peak of bytes that live inside our reduction."""
    original, peak = capture_module.reduce_rows, 0

    def watched(*args: Any, **kwargs: Any) -> Any:
        nonlocal peak
        with LiveBytes() as live:
            result = original(*args, **kwargs)
        peak = max(peak, live.peak)
        return result

    capture_module.reduce_rows = watched
    try:
        way()
    finally:
        capture_module.reduce_rows = original
    return peak


def ratio(first: list[float], second: list[float]) -> dict[str, float]:
    """Give the median of paired ratios with a 95 % bootstrap interval."""
    ratios = np.array(first) / np.array(second)
    rng = np.random.default_rng(0)
    medians = np.median(ratios[rng.integers(0, len(ratios), (2000, len(ratios)))], axis=1)
    return {
        "median": float(np.median(ratios)),
        "low": float(np.quantile(medians, 0.025)),
        "high": float(np.quantile(medians, 0.975)),
    }


def main() -> None:
    """Run all lengths and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 1024, 2048])
    parser.add_argument("--batches", type=int, nargs="+", default=[1])
    parser.add_argument("--eager-limit", type=int, default=8192, help="largest batch x length that eager is run at")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring.json"))
    args = parser.parse_args()
    model = build_model(args.layers, args.device, getattr(torch, args.dtype))
    rows = []
    with torch.inference_mode():
        for batch in args.batches:
            for length in args.lengths:
                rows.append(measure(length, batch, args, model))
                print(json.dumps(rows[-1]), flush=True)
    content = {
        "what": "scoring against other ways to run the same inputs; ratios are scoring / other",
        "model": f"Qwen2-VL-2B's language model at full width, {args.layers} layers, random weights",
        "response_rows": RESPONSE_ROWS,
        "donors": DONORS,
        "pairs": args.pairs,
        "device": args.device,
        "dtype": args.dtype,
        "torch": torch.__version__,
        "rows": rows,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
