"""Where does the time of a scoring run go? Qwen2.5-VL-3B at full width, tower and decoder cut in the same proportion.

    python -m benchmarks.scoring_profile

Pictures of 640 x 480 pixels go through the real processor and the real measurement, five captions each, once with the
picture and prompt shared by the captions and once with a row for each. Seconds are told apart by part:

    processor   pictures and texts to model inputs
    tower       the vision tower
    decoder     the language model, without what we add to it
    reduction   our softmax rows inside its attention
    scores      masks, Head Impact and chance, per picture

The tower's layers and the decoder's are scaled from those that ran to the model's own depth. Writes JSON.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from tests.tiny_models.qwen_vl import QWEN_TEMPLATE, qwen_tokenizer
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessorPil

import headimpact.attention.capture as capture_module
import headimpact.workflows.head_measurement as measurement
from headimpact.data.masks import RleMask
from headimpact.data.sample import KeyObject, Sample
from headimpact.models.batching import BatchSize
from headimpact.models.loading import LoadedModel, load_model
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.picture_measurement import StartedPicture

FULL_LAYERS, FULL_TOWER = 36, 32
PROMPT = "Describe the main object."
CAPTIONS = (
    "a red circle on a blue background",
    "the large square near the top",
    "a blue square and a red circle, near the top of the background",
    "two large circles",
    "what is near the top is a large red square",
)


def save_checkpoint(folder: Path, *, share: int) -> None:
    """Write Qwen2.5-VL-3B at full width with a `share`-th of its layers; vocabulary and weights are our own."""
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
        "vocab_size": len(tokenizer), "hidden_size": 2048, "intermediate_size": 11_008, "num_attention_heads": 16,
        "num_hidden_layers": FULL_LAYERS // share, "num_key_value_heads": 2, "max_position_embeddings": 32_768,
        "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
    }  # fmt: skip
    vision = {
        "depth": FULL_TOWER // share, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16,
        "out_hidden_size": 2048, "fullatt_block_indexes": [FULL_TOWER // share - 1],
    }  # fmt: skip
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **special)
    Qwen2_5_VLForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)


def make_samples(folder: Path, count: int) -> list[Sample]:
    """Draw pictures of noise, each with an ellipse for its key object."""
    rows, columns = np.mgrid[:480, :640]
    samples = []
    for index in range(count):
        rng = np.random.default_rng(index)
        path = folder / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)).save(path)
        y, x = rng.uniform(0.3, 0.7, 2) * (480, 640)
        inside = ((rows - y) / 100) ** 2 + ((columns - x) / 120) ** 2 < 1
        key = KeyObject("circle", ("circle",), RleMask.from_mask(inside))
        samples.append(
            Sample(image_id=str(index), image_path=path, size_hw=(480, 640), key_objects=(key,), captions=CAPTIONS)
        )
    return samples


class Clock:
    """Seconds spent in some functions."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device

    def now(self) -> float:
        """Give the time once the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def watched(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Give a function that does the same and is timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = self.now()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] = self.seconds.get(part, 0.0) + self.now() - start

        return timed


@contextlib.contextmanager
def watching(loaded: LoadedModel, clock: Clock) -> Iterator[None]:
    """Time the parts of a measurement while the block runs."""
    tower = loaded.model.model.visual
    with contextlib.ExitStack() as stack:
        for owner, name, part in (
            (measurement, "encode", "processor"),
            (measurement, "encode_shared", "processor"),
            (measurement, "start_measuring", "scores"),
            (StartedPicture, "finish", "scores"),
            (capture_module, "reduce_call", "reduction"),
            (tower, "forward", "tower"),
            *((block, "forward", "tower's layers") for block in tower.blocks),
        ):
            stack.enter_context(mock.patch.object(owner, name, clock.watched(part, getattr(owner, name))))
        yield


def profile(loaded: LoadedModel, samples: list[Sample], *, share: int, shared: bool) -> dict[str, float]:
    """Measure some pictures and tell the seconds apart, as of full depth."""
    donors = DonorMasks.of(samples, donors=64, seed=0)
    options, size = MeasurementOptions(), BatchSize(4)
    responses = [sample.captions for sample in samples]
    clock = Clock(loaded.device)
    sharing = mock.patch.object(measurement, "shares_prompts", return_value=shared)
    with sharing, watching(loaded, clock):
        start = clock.now()
        measurement.measure_pictures(
            loaded, samples, responses, prompt=PROMPT, donors=donors, options=options, batch_size=size
        )
        total = clock.now() - start
    parts = dict(clock.seconds)
    layers = parts.pop("tower's layers")
    parts["decoder"] = (total - sum(parts.values())) * share
    parts["tower"] += layers * (share - 1)
    parts["reduction"] *= share
    return {name: parts[name] for name in ("processor", "tower", "decoder", "reduction", "scores")}


def main() -> None:
    """Run both ways and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--share", type=int, default=16, help="run one in so many layers")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scoring_profile.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_checkpoint(folder / "model", share=args.share)
        loaded = load_model(folder / "model", device=args.device, dtype="bfloat16")
        samples = make_samples(folder, args.pictures)
        profile(loaded, samples[:2], share=args.share, shared=True)  # warms up
        ways = {
            "a row for each caption": profile(loaded, samples, share=args.share, shared=False),
            "picture and prompt shared": profile(loaded, samples, share=args.share, shared=True),
        }
    content = {
        "what": "seconds of a scoring run by part, tower and decoder scaled to full depth; 5 captions a picture",
        "model": "Qwen2.5-VL-3B at full width, random weights",
        "pictures": args.pictures,
        "layers_run": {"decoder": FULL_LAYERS // args.share, "tower": FULL_TOWER // args.share},
        "device": str(loaded.device),
        "dtype": loaded.dtype_name,
        "torch": torch.__version__,
        "seconds": ways,
        "shares": {
            way: {part: value / sum(parts.values()) for part, value in parts.items()} for way, parts in ways.items()
        },
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["shares"], indent=1))


if __name__ == "__main__":
    main()
