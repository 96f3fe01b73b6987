"""Small predictions and the golden files."""

import json
from pathlib import Path

import numpy as np
import pytest

from headimpact.evaluation.coco_results import read_coco_results
from headimpact.evaluation.results import Prediction

GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "data" / "coco_caption"
WORDS = ("a", "the", "red", "blue", "dog", "cat", "sits", "on", "mat", "grass", "two", "dogs", "near", "small", "house")


def prediction(image_id="1", text="a dog", references=("a dog",), names=(), **fields):
    return Prediction(image_id=image_id, prediction=text, references=tuple(references), names=tuple(names), **fields)


def random_predictions(count: int, seed: int = 0) -> list[Prediction]:
    generator = np.random.default_rng(seed)

    def sentence(shortest: int) -> str:
        return " ".join(generator.choice(WORDS, size=generator.integers(shortest, 9)))

    return [
        prediction(
            f"{index:04d}",
            sentence(0),
            [sentence(1) for _ in range(generator.integers(1, 5))],
            names=["dog", "puppy"] if index % 3 else (),
            objects=("dog",) if index % 4 else None,
            question_id=f"q{index}" if index % 2 else None,
        )
        for index in range(count)
    ]


def golden() -> tuple[tuple[Prediction, ...], dict[str, float]]:
    results = GOLDEN / "captions_val2014_fakecap_results_subset.json"
    if not results.is_file():
        pytest.skip(f"golden captions not found at {GOLDEN}")
    expected = json.loads((GOLDEN / "expected_scores.json").read_text())["scores"]
    return read_coco_results(results, GOLDEN / "captions_val2014_subset370.json"), expected
