"""Plain-loop twins and tiny makers for the tests of scoring."""

import itertools

import numpy as np

from headimpact.core.architecture import ArchitectureSummary
from headimpact.scoring.donors import plan_donors
from headimpact.scoring.sample_scores import PictureScores, SampleScores


def architecture(**changes) -> ArchitectureSummary:
    fields = {
        "model_type": "llava",
        "num_layers": 2,
        "num_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "hidden_size": 24,
        "projections": {"q_proj": (24, 24), "k_proj": (24, 8), "v_proj": (24, 8), "o_proj": (24, 24)},
        "attention_path": "model.language_model.layers.{layer_idx}.self_attn",
        "total_parameters": 100_000,
    }
    return ArchitectureSummary(**{**fields, **changes})


def plain_key_tokens(coverage, areas):
    """Find key tokens of one mask by loops; None where the mask is to be skipped."""
    places = [j for j, area in enumerate(areas) if area > 0]
    key = [j for j in places if coverage[j] >= 0.5]
    if not key:
        highest = max((coverage[j] for j in places), default=0.0)
        key = [j for j in places if coverage[j] == highest] if highest > 0 else []
    if not key or sum(areas[j] for j in key) > 0.8 * sum(areas[j] for j in places):
        return None
    return key


def plain_iou(attention, key, areas, order):
    """Fill up to the area of the key tokens in the order given, the last token in part, and give the IoU."""
    size = sum(areas[j] for j in key)
    left, common = size, 0.0
    for j in order:
        part = min(areas[j], left)
        left -= part
        common += part if j in key else 0.0
        if left <= 1e-12:
            break
    return common / (2 * size - common)


def plain_head_impact(attention, coverage, areas):
    """Score one map against one mask by going through every order of tied tokens."""
    key = plain_key_tokens(coverage, areas)
    if key is None:
        return np.nan
    places = [j for j in range(len(areas)) if areas[j] > 0]
    levels = sorted({float(attention[j]) for j in places}, reverse=True)
    size = sum(areas[j] for j in key)
    above: list[int] = []
    for level in levels:
        tied = [j for j in places if float(attention[j]) == level]
        if sum(areas[j] for j in above + tied) >= size - 1e-12:
            orders = list(itertools.permutations(tied))
            return float(np.mean([plain_iou(attention, key, areas, above + list(order)) for order in orders]))
        above += tied
    raise AssertionError("the key tokens are larger than the image")


def samples_from_table(table, ids=None, *, donors=64, seed=0, shape=None, baselines=()):
    """Make per-picture scores from a table of every map against every mask `[maps, masks, columns]`."""
    count = table.shape[0]
    ids = ids or [f"picture-{number}" for number in range(count)]
    shape = shape or (1, table.shape[2] - len(baselines))
    heads = shape[0] * shape[1]
    place = {image_id: number for number, image_id in enumerate(ids)}
    plan = plan_donors(ids, donors=donors, seed=seed)
    pictures = []
    for row, image_id in enumerate(ids):
        donor_ids = plan.donors_of(image_id)
        masks = [row, *(place[other] for other in donor_ids)]
        values = table[row, masks]
        pictures.append(
            PictureScores(
                image_id=image_id,
                own=values[0, :heads].reshape(shape).astype(np.float32),
                donors=values[1:, :heads].reshape(-1, *shape).astype(np.float32),
                donor_ids=donor_ids,
                sees_image=np.ones(shape, dtype=np.float32),
                baselines={name: values[:, heads + number] for number, name in enumerate(baselines)},
            )
        )
    return SampleScores.from_pictures(pictures)
