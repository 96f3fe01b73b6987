"""Head Impact again by a slow path that shares no code with the package: eager attention maps and plain loops."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.data.masks import RleMask
from headimpact.data.sample import KeyObject, Sample
from headimpact.embedded.scenes import build_scenes
from headimpact.models.batching import BatchSize
from headimpact.models.loading import LoadedModel, load_model
from headimpact.workflows.api import read_dataset
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.head_measurement import measure_pictures
from headimpact.workflows.measurement_options import MeasurementOptions

PROMPT = "Describe the main object."
TEXTS = (("a red circle",), ("the large square near the top", "blue"), ("a red square on a blue background",))


@dataclasses.dataclass(frozen=True)
class Grid:
    """Image tokens of one picture: rows x columns of `side` pixels each, the first at (top, left)."""

    rows: int
    columns: int
    side: int
    top: int = 0
    left: int = 0


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and pictures of a size at which every token holds whole pixels."""

    name: str
    size_hw: tuple[int, int]
    grid: Grid


CASES = [
    Case("llava-siglip", (88, 88), Grid(rows=5, columns=5, side=16)),  # 88 -> 44 pixels, 4 right and below unseen
    Case("llava-clip", (48, 64), Grid(rows=6, columns=6, side=8, left=8)),  # centre crop of 48 x 48
    Case("qwen2_5_vl", (168, 196), Grid(rows=6, columns=7, side=28)),  # kept as it is, 28 pixels a token
]


def blob(size_hw: tuple[int, int], *, seed: int, radius: float) -> np.ndarray:
    """Draw an ellipse somewhere near the middle."""
    generator = np.random.default_rng(seed)
    height, width = size_hw
    middle = generator.uniform(0.35, 0.65, 2) * (height, width)
    rows, columns = np.mgrid[:height, :width]
    inside: np.ndarray = ((rows - middle[0]) / (radius * height)) ** 2 + (
        (columns - middle[1]) / (radius * width)
    ) ** 2 < 1
    return inside


def make_samples(folder: Path, size_hw: tuple[int, int]) -> list[Sample]:
    samples = []
    for place, radius in enumerate((0.3, 0.15, 0.04)):
        pixels = np.random.default_rng(place).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
        path = folder / f"{place}.png"
        Image.fromarray(pixels).save(path)
        mask = RleMask.from_mask(blob(size_hw, seed=place, radius=radius))
        key = KeyObject("circle", ("circle",), mask)
        samples.append(
            Sample(image_id=str(place), image_path=path, size_hw=size_hw, key_objects=(key,), captions=TEXTS[place])
        )
    return samples


def plain_rows(loaded: LoadedModel, ids: Sequence[int], text: str, convention: str) -> list[int]:
    """Find the response's rows, the shortest run of tokens that reads as the text; those before predict it."""
    tokenizer = loaded.processor.tokenizer
    runs = [
        (end - start, start)
        for end in range(1, len(ids) + 1)
        for start in range(max(0, end - 40), end)
        if tokenizer.decode(ids[start:end]).strip() == text
    ]
    length, start = min(runs)
    shift = 1 if convention == "predicting" else 0
    return list(range(start - shift, start + length - shift))


def plain_attention(loaded: LoadedModel, sample: Sample, text: str, convention: str) -> list[list[list[float]]]:
    """Give the mean attention of the response's rows to each image token, by layer and head."""
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]},
        {"role": "assistant", "content": [{"type": "text", "text": text}]},
    ]
    processor = loaded.processor
    template = processor.chat_template or processor.tokenizer.chat_template
    chat = processor.apply_chat_template(messages, chat_template=template, tokenize=False)
    with Image.open(sample.image_path) as file:
        image = file.convert("RGB")
    bos = processor.tokenizer.bos_token
    inputs = processor(
        text=[chat], images=[image], return_tensors="pt", add_special_tokens=not (bos and chat.startswith(bos))
    )
    ids = inputs["input_ids"][0].tolist()
    image_tokens = [place for place, token in enumerate(ids) if token == loaded.config.image_token_id]
    with torch.inference_mode():
        attentions = loaded.model(**inputs, output_attentions=True, use_cache=False).attentions
    rows = plain_rows(loaded, ids, text, convention)
    return [
        [[sum(head[row][token] for row in rows) / len(rows) for token in image_tokens] for head in layer[0].tolist()]
        for layer in attentions
    ]


def plain_coverage(mask: np.ndarray, grid: Grid) -> list[float]:
    """Count the pixels of the mask under each token."""
    shares = []
    for row in range(grid.rows):
        for column in range(grid.columns):
            count = 0
            for y in range(grid.top + row * grid.side, grid.top + (row + 1) * grid.side):
                for x in range(grid.left + column * grid.side, grid.left + (column + 1) * grid.side):
                    count += bool(mask[y, x])
            shares.append(count / grid.side**2)
    return shares


def plain_iou(attention: Sequence[float], coverage: Sequence[float]) -> float:
    """Give the IoU of the key tokens and as many tokens of the highest attention."""
    key = {token for token, share in enumerate(coverage) if share >= 0.5}
    key = key or {token for token, share in enumerate(coverage) if share == max(coverage)}
    ranked = sorted(range(len(attention)), key=lambda token: -attention[token])
    assert attention[ranked[len(key) - 1]] > attention[ranked[len(key)]], "a tie at the cut: take another seed"
    predicted = set(ranked[: len(key)])
    return len(key & predicted) / len(key | predicted)


def plain_head_impact(
    loaded: LoadedModel, sample: Sample, texts: Sequence[str], grid: Grid, convention: str
) -> np.ndarray:
    """Score every head, averaged over the texts."""
    coverage = plain_coverage(sample.load_mask(), grid)
    found = [
        [[plain_iou(head, coverage) for head in layer] for layer in plain_attention(loaded, sample, text, convention)]
        for text in texts
    ]
    mean: np.ndarray = np.mean(found, axis=0)
    return mean


def compare(
    models: tuple[LoadedModel, LoadedModel],
    samples: Sequence[Sample],
    texts: Sequence[Sequence[str]],
    grid: Grid,
    *,
    rows: str = "predicting",
) -> None:
    """Hold the package's scores of a model against the plain ones of the same model in eager."""
    loaded, eager = models
    measured = measure_pictures(
        loaded,
        samples,
        texts,
        prompt=PROMPT,
        donors=DonorMasks.of(samples, donors=1, seed=0),
        options=MeasurementOptions(rows=rows),
        batch_size=BatchSize(3),
    )
    for sample, said, scores in zip(samples, texts, measured, strict=True):
        assert not isinstance(scores, str)
        expected = plain_head_impact(eager, sample, said, grid, rows)
        np.testing.assert_allclose(scores["head_impact"].own, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rows", ["predicting", "at"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_random_models_agree_with_plain_loops(case, rows, tiny_model, tmp_path):
    models = (tiny_model(case.name), tiny_model(case.name, attn_implementation="eager"))
    compare(models, make_samples(tmp_path, case.size_hw), TEXTS, case.grid, rows=rows)


def test_the_comparison_can_fail(tiny_model, tmp_path):
    case = CASES[0]
    models = (tiny_model(case.name), tiny_model(case.name, attn_implementation="eager"))
    shifted = dataclasses.replace(case.grid, top=8)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(models, make_samples(tmp_path, case.size_hw), TEXTS, shifted)


def test_the_embedded_model_agrees_with_plain_loops(tmp_path):
    build_scenes(tmp_path / "data", task="describe", counts={"calibration": 3}, seed=5)
    samples = read_dataset(tmp_path / "data").samples
    loaded = load_model("embedded")
    vision = loaded.config.vision_config
    tokens = vision.image_size // vision.patch_size
    assert samples[0].size_hw == (vision.image_size, vision.image_size)
    grid = Grid(rows=tokens, columns=tokens, side=vision.patch_size)
    texts = [sample.captions[:1] for sample in samples]
    compare((loaded, load_model("embedded", attn_implementation="eager")), samples, texts, grid)
