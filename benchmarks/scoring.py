"""What does scoring cost beside a forward pass? Language models at full width, cut to a few layers for the clock.

Four ways to run the same inputs, all in one process:

    scoring   capture of the response rows and Head Impact against own and donor masks; no logits
    backbone  the forward pass without logits
    plain     the forward pass with logits at every position
    eager     eager attention with `output_attentions`, every layer's map kept (the usual route)

Per model, number of image tokens and batch it gives

    times     the ways in turn, `--pairs` times; median ratios with a bootstrap interval. `plain` is not timed: beside
              a few layers its logits weigh far more than beside all
    flops     the noise-free twin: counted operations, per layer and, since layers are alike, at full depth
    bytes     what lives inside our own function beyond the attention call it wraps; what each way makes and keeps

Inputs of more than `--timed-tokens` are counted only. Nothing is skipped in the last layer. Writes JSON.
"""

import argparse
import functools
import json
import statistics
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, Qwen2Config

import headimpact.attention.capture as capture_module
from headimpact.attention.capture import capture_attention
from headimpact.scoring.head_impact import head_impact, settle_ties

PROMPT_TOKENS = 16
RESPONSE_ROWS = 32
DONORS = 64
Way = Callable[[], object]


def qwen2_vl_2b() -> PretrainedConfig:
    return Qwen2Config(
        vocab_size=151_936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, num_attention_heads=12,
        num_key_value_heads=2, max_position_embeddings=32_768, tie_word_embeddings=True,
    )  # fmt: skip


def qwen2_5_vl_3b() -> PretrainedConfig:
    return Qwen2Config(
        vocab_size=151_936, hidden_size=2048, intermediate_size=11_008, num_hidden_layers=36, num_attention_heads=16,
        num_key_value_heads=2, max_position_embeddings=32_768, tie_word_embeddings=True,
    )  # fmt: skip


def smolvlm2_2b() -> PretrainedConfig:
    return LlamaConfig(
        vocab_size=49_280, hidden_size=2048, intermediate_size=8192, num_hidden_layers=24, num_attention_heads=32,
        num_key_value_heads=32, max_position_embeddings=16_384,
    )  # fmt: skip


def llava_1_5_7b() -> PretrainedConfig:
    return LlamaConfig(
        vocab_size=32_064, hidden_size=4096, intermediate_size=11_008, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=32, max_position_embeddings=8192,
    )  # fmt: skip


MODELS: dict[str, Callable[[], PretrainedConfig]] = {
    "Qwen2-VL-2B": qwen2_vl_2b,
    "Qwen2.5-VL-3B": qwen2_5_vl_3b,
    "SmolVLM2-2.2B": smolvlm2_2b,
    "LLaVA-1.5-7B": llava_1_5_7b,
}
"""Published language models' sizes; weights are random."""


@dataclass(frozen=True)
class Setting:
    """One model, cut to a few layers, and the size of its inputs."""

    name: str
    model: Any
    full_layers: int
    side: int
    batch: int

    @property
    def image_tokens(self) -> int:
        """Number of image tokens."""
        return self.side**2

    @property
    def length(self) -> int:
        """Tokens of a row."""
        return PROMPT_TOKENS + self.image_tokens + RESPONSE_ROWS

    @property
    def layers(self) -> int:
        """Layers that run."""
        return len(self.model.model.layers)


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


def ways_of(setting: Setting) -> dict[str, Way]:
    """Give the four ways for one setting, all on the same inputs."""
    model, batch, length = setting.model, setting.batch, setting.length
    device = next(model.parameters()).device
    keys = [torch.arange(4, 4 + setting.image_tokens)] * batch
    queries = [torch.arange(length - RESPONSE_ROWS - 1, length - 1)] * batch
    inputs = torch.randint(0, 1000, (batch, length), generator=torch.Generator().manual_seed(1)).to(device)
    coverage = torch.rand(1 + DONORS, setting.image_tokens, generator=torch.Generator().manual_seed(2)) < 0.1
    coverage = coverage.double()
    areas = torch.full((setting.image_tokens,), 1.0 / setting.image_tokens)
    modules = {index: layer.self_attn for index, layer in enumerate(model.model.layers)}

    def scoring() -> object:
        with capture_attention(modules, queries=queries, keys=keys) as captured:
            model.model(input_ids=inputs, use_cache=False)
        started = [(maps, head_impact(maps, coverage, areas, settle=False)) for maps in captured.maps]
        return [settle_ties(scores, maps, coverage, areas) for maps, scores in started]

    def backbone() -> object:
        return model.model(input_ids=inputs, use_cache=False)

    def plain() -> object:
        return model(input_ids=inputs, use_cache=False)

    def eager() -> object:
        model.set_attn_implementation("eager")
        try:
            return model.model(input_ids=inputs, use_cache=False, output_attentions=True)
        finally:
            model.set_attn_implementation("sdpa")

    return {"scoring": scoring, "backbone": backbone, "plain": plain, "eager": eager}


def measure(setting: Setting, *, pairs: int, timed_tokens: int) -> dict[str, Any]:
    """Measure one setting."""
    ways = ways_of(setting)
    is_timed = setting.batch * setting.length <= timed_tokens
    single = ways_of(Setting(setting.name, setting.model, setting.full_layers, setting.side, batch=1))
    text = setting.model.config
    size = next(setting.model.parameters()).element_size()
    maps = setting.full_layers * setting.batch * text.num_attention_heads
    inside = bytes_inside(ways["scoring"])
    return {
        "model": setting.name,
        "image_tokens": setting.image_tokens,
        "batch": setting.batch,
        "length": setting.length,
        "layers": setting.layers,
        "times": times_of(ways, setting, pairs=pairs) if is_timed else None,
        "flops": flops_of(single, setting)
        if capture_module.fused_reduction() is None
        else None,  # not those of kernels
        "bytes_inside": inside,
        "bytes_kept_at_full_depth": {
            "scoring": maps * setting.image_tokens * 4,
            "eager": maps * setting.length**2 * size,
        },
        "peak_bytes": peaks_of(ways, setting) if is_timed else None,
    }


def times_of(ways: dict[str, Way], setting: Setting, *, pairs: int) -> dict[str, Any]:
    """Time the ways in turn, in an order that is reversed every time; the first round warms up."""
    device = next(setting.model.parameters()).device
    names = ("scoring", "backbone", "eager") if eager_fits(setting) else ("scoring", "backbone")
    times: dict[str, list[float]] = {name: [] for name in names}
    for pair in range(pairs + 1):
        for name in list(times) if pair % 2 else list(times)[::-1]:
            seconds = timed(ways[name], device)
            if pair:
                times[name].append(seconds)
    return {
        "median_seconds": {name: statistics.median(values) for name, values in times.items()},
        "ratio_to": {name: ratio(times["scoring"], times[name]) for name in times if name != "scoring"},
    }


def eager_fits(setting: Setting) -> bool:
    """Say whether a GPU's memory holds every layer's map; on a CPU the length on the clock is limited."""
    device = next(setting.model.parameters()).device
    if device.type != "cuda":
        return True
    heads, size = setting.model.config.num_attention_heads, next(setting.model.parameters()).element_size()
    one = setting.batch * heads * setting.length**2
    # A layer's softmax is computed in single precision, from logits and into weights that are there meanwhile.
    return setting.layers * one * size + 3 * one * 4 < 0.9 * torch.cuda.mem_get_info(device)[0]


def flops_of(ways: dict[str, Way], setting: Setting) -> dict[str, float]:
    """Count operations of one row, which are the same for every row of a batch, and go on to full depth."""
    counted = {name: counted_flops(ways[name]) for name in ("scoring", "backbone", "plain")}
    logits = counted["plain"] - counted["backbone"]
    deeper = setting.full_layers / setting.layers
    return {
        "per_layer_ratio_to_backbone": counted["scoring"] / counted["backbone"],
        "full_depth_ratio_to_plain": counted["scoring"] * deeper / (counted["backbone"] * deeper + logits),
    }


def timed(way: Way, device: torch.device) -> float:
    """Time one run: by the clock on a GPU; on a CPU by processor time, which others on the machine do not take."""
    if device.type != "cuda":
        start = time.process_time()
        way()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    way()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def counted_flops(way: Way) -> int:
    """Count floating-point operations of matrix products and attention."""
    with FlopCounterMode(display=False) as counter:
        way()
    return counter.get_total_flops()


def bytes_inside(way: Way) -> int:
    """Give the peak of bytes that live inside our reduction; on a GPU with those of calls that wait for each other."""
    peak = 0

    def watch(owner: Any, name: str, waiting: Callable[[Any], int]) -> Callable[[], None]:
        original = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            nonlocal peak
            held = waiting(args[0])
            with LiveBytes() as live:
                result = original(*args, **kwargs)
            peak = max(peak, held + live.peak)
            return result

        setattr(owner, name, watched)
        return functools.partial(setattr, owner, name, original)

    fused = capture_module.fused_reduction()
    if fused is None:
        undo = watch(capture_module, "reduce_call", lambda _: 0)
    else:
        undo = watch(
            fused.LayerQueue, "flush", lambda queue: sum(call.query.nbytes + call.key.nbytes for call in queue._calls)
        )
    try:
        way()
    finally:
        undo()
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


def peaks_of(ways: dict[str, Way], setting: Setting) -> dict[str, int]:
    """Give the peaks of the ways that fit."""
    names = ("scoring", "backbone", "eager") if eager_fits(setting) else ("scoring", "backbone")
    return {name: peak_bytes(ways[name]) for name in names}


def peak_bytes(way: Way) -> int:
    """Give the peak of bytes that a way makes and keeps, weights and inputs apart."""
    with LiveBytes() as live:
        kept = way()
    del kept
    return live.peak


def main() -> None:
    """Run all settings and write the JSON after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--layers", type=int, default=2, help="layers on the clock; 0 for the model's own depth")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 32, 63], help="image tokens along each side")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--timed-tokens", type=int, default=4200, help="largest batch x length on the clock")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring.json"))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    content: dict[str, Any] = {
        "what": "scoring against other ways to run the same inputs; ratios are scoring / other",
        "response_rows": RESPONSE_ROWS,
        "donors": DONORS,
        "pairs": args.pairs,
        "device": args.device if args.device == "cpu" else torch.cuda.get_device_name(args.device),
        "clock": "wall" if args.device != "cpu" else "processor time",
        "threads": torch.get_num_threads(),
        "dtype": args.dtype,
        "torch": torch.__version__,
        "rows": [],
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for name in args.models:
        config = MODELS[name]()
        full_layers = config.num_hidden_layers
        config.num_hidden_layers = args.layers or full_layers
        torch.manual_seed(0)
        with torch.inference_mode():
            with torch.device(args.device):
                model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, args.dtype)).eval()
            for batch in args.batches:
                for side in args.sides:
                    row = measure(
                        Setting(name, model, full_layers, side, batch), pairs=args.pairs, timed_tokens=args.timed_tokens
                    )
                    content["rows"].append(row)
                    print(json.dumps(row), flush=True)
                    args.out.write_text(json.dumps(content, indent=1) + "\n")
        del model


if __name__ == "__main__":
    main()
