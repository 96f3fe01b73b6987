"""Tiny makers with defaults for the report's tests."""

import dataclasses
import itertools

import numpy as np
from PIL import Image

from headimpact.comparison.statistics import Estimate, Variances
from headimpact.comparison.table import ComparisonRow, ComparisonTable, RunPoint
from headimpact.comparison.verdict import Evidence, judge
from headimpact.core.architecture import ArchitectureSummary
from headimpact.report.examples import ExamplePicture
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection


def example_picture(
    *,
    image_id="17",
    response="a red ball",
    key_object="ball",
    size_wh=(24, 16),
    layers=3,
    heads=4,
    seed=0,
    dtype=np.float32,
    sinks=None,
):
    """Make an example picture of noise with six tokens, one of them padding."""
    rng = np.random.default_rng(seed)
    width, height = size_wh
    mask = np.zeros((height, width), dtype=bool)
    mask[3:9, 4:12] = True
    columns = np.linspace(0, 1, 6)
    boxes = np.array([[a, 0.0, b, 1.0] for a, b in itertools.pairwise(columns)] + [[0.0] * 4])
    return ExamplePicture(
        image_id=image_id,
        thumbnail=Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)),
        mask=mask,
        response=response,
        key_object=key_object,
        boxes=boxes.astype(np.float32),
        maps=rng.random((layers, heads, 6)).astype(dtype) / 6,
        sinks=None if sinks is None else np.isin(np.arange(6), sinks),
    )


def estimate(value, half=0.04):
    """Make an estimate with a symmetric interval."""
    return Estimate(value=value, low=value - half, high=value + half, standard_error=half / 1.96)


def comparison_row(arm, values, *, trained=8192, share=0.0026, layers=(1,)):
    """Make an arm with one run per value."""
    mean = float(np.mean(values))
    points = tuple(
        RunPoint(run=f"{arm}-{draw}", draw=draw, seed=0, layers=layers, values={"exact_match": v, "bleu_4": v / 2})
        for draw, v in enumerate(values)
    )
    return ComparisonRow(
        arm=arm,
        draws=len(values),
        seeds=1,
        trainable_parameters=trained,
        trainable_share=share,
        values={"exact_match": estimate(mean), "bleu_4": estimate(mean / 2)},
        shifts={} if arm == "base" else {"exact_match": estimate(mean - 0.3)},
        against_random={} if arm in {"base", "random"} else {"exact_match": estimate(mean - 0.6)},
        points=points,
    )


def comparison_table(*, arms=("base", "top-k", "random", "all"), draws=(0.5, 0.6, 0.7), answer_at=0.14, half=0.2):
    """Make a comparison; `answer_at` and `half` set the difference and its interval."""
    made = {
        "base": comparison_row("base", [0.3], trained=0, share=0.0, layers=()),
        "top-k": comparison_row("top-k", [0.75]),
        "random": comparison_row("random", list(draws), layers=(0, 2)),
        "all": comparison_row("all", [0.9], trained=49152, share=0.0156, layers=(0, 1, 2)),
    }
    mean = float(np.mean(draws))
    rank_p = (1 + sum(value >= 0.75 for value in draws)) / (len(draws) + 1)
    evidence = Evidence(
        measure="exact_match",
        arm="top-k",
        against="random",
        value=0.75,
        random_mean=mean,
        difference=estimate(answer_at, half),
        rank_p=rank_p,
        rank_p_below=1.0 if answer_at > 0 else 1 / (len(draws) + 1),
        draws=len(draws),
        max_draws=None,
        images=128,
        variances=Variances(pictures=0.002, draws=0.004, rest=0.0),
    )
    has_both = {"top-k", "random"} <= set(arms)
    return ComparisonTable(
        primary="exact_match",
        margin=0.05,
        verdict=judge(evidence, margin=0.05) if has_both else None,
        shift_verdict=None,
        depth_matched_verdict=None,
        exhaustive=None,
        rows=tuple(made[arm] for arm in arms),
        images=128,
        notes=() if has_both else ("No run of top-k was given.",),
        options={"resamples": 200, "confidence": 0.95, "identity": {"model": "embedded", "task": "where"}},
    )


def architecture(*, layers=3, heads=4):
    """Make a small language model's sizes."""
    return ArchitectureSummary(
        model_type="llava",
        num_layers=layers,
        num_heads=heads,
        num_key_value_heads=2,
        head_dim=8,
        hidden_size=32,
        projections={"q_proj": (32, 32), "v_proj": (32, 16)},
        attention_path="model.language_model.layers.{layer_idx}.self_attn",
        total_parameters=100_000,
    )


def statistics(own, half=0.02):
    """Make a score's values with chance at 0.05 and p of 0.001 wherever the gap is clear."""
    null = np.where(np.isnan(own), np.nan, 0.05)
    gap = own - null
    p = np.where(np.isnan(own), np.nan, np.where(gap > half, 0.001, 0.5))
    made = {"head_impact": own, "null_mean": null, "gap": gap, "gap_low": gap - half, "gap_high": gap + half}
    return {name: values.astype(np.float32) for name, values in {**made, "z": gap / half, "p": p, "q": p}.items()}


def head_scores(*, own=None, twin=False, **changes):
    """Make the scores of a small model; head 2 of layer 1 has none."""
    own = np.array([[0.1, 0.2, 0.3, 0.04], [0.5, 0.4, np.nan, 0.05], [0.1, 0.05, 0.2, 0.05]]) if own is None else own
    made = {
        "score": "head_impact",
        "values": statistics(own),
        "layer_values": statistics(
            np.array([row[np.isfinite(row)].mean() if np.isfinite(row).any() else np.nan for row in own])
        ),
        "counts": {"used": 40, "with_score": 40, "skipped": {"empty_mask": 2, "no_caption": 1}, "blind_heads": 1},
        "architecture": architecture(layers=own.shape[0], heads=own.shape[1]),
        "options": {"rule": "area", "layer_aggregation": "mean", "draws": 10000},
        "provenance": {"model": "embedded", "versions": {"numpy": "2.3"}},
        "baselines": {"uniform": 0.04, "centre": 0.06},
    }
    flat = np.full(own.shape, 0.07)
    scores = HeadScores(**{**made, **changes})
    return dataclasses.replace(scores, baseline=head_scores(own=flat)) if twin else scores


def selection(*, strategy="top-k", layers=(1, 2), **changes):
    """Choose layers of the small model."""
    return Selection(strategy=strategy, layers=layers, architecture=architecture(), **changes)
