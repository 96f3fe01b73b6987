"""Captions to pictures, pictures to heads, heads to layers; NaN stands for "says nothing" throughout."""

import re

import numpy as np
from jaxtyping import Bool, Float

from headimpact.core.errors import OptionError
from headimpact.core.shapes import HeadValues, ImageHeadValues

BLIND_SHARE = 0.1
"""A head that sees no image token in more than this share of the samples has no score."""

LAYER_RULES = ("mean", "max", "top-M")
"""Ways to put the heads of a layer together; `top-2` is the mean of the two best."""


def nan_mean(values: Float[np.ndarray, "first *rest"]) -> Float[np.ndarray, "*rest"]:
    """Average over the first axis, leaving NaN out; NaN where nothing is left.

    Used to put the captions of one picture together before anything else is done with them, and then the
    pictures: a picture with five captions counts as one.

    Example:
        >>> nan_mean(np.array([[1.0, np.nan], [3.0, np.nan]])).tolist()
        [2.0, nan]
    """
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def blind_heads(sees_image: ImageHeadValues) -> Bool[np.ndarray, "layers heads"]:
    """Mark heads whose rows see no image token in more than a tenth of the samples.

    Sliding windows and hybrid layers make such heads; what little they see is no basis for a score.

    Args:
        sees_image: Share of a picture's responses in which the head sees an image token, in [0, 1].

    Returns:
        True where the head gets NaN and cannot be selected.

    Source: scores page of this project (`docs/method.md`).
    """
    blind: np.ndarray = 1.0 - sees_image.mean(axis=0, dtype=np.float64) > BLIND_SHARE + 1e-9
    return blind


def aggregate_layers(
    values: Float[np.ndarray, "*many layers heads"], *, rule: str = "mean"
) -> Float[np.ndarray, "*many layers"]:
    """Put the heads of each layer together.

    Args:
        values: One number per head; NaN heads are left out.
        rule: `mean`, `max`, or `top-M`: mean of the M highest (of fewer where fewer have a value).

    Returns:
        One number per layer; NaN where no head has one.

    Raises:
        OptionError: If the rule is unknown or M is not in [1, heads].

    Source: options of ours; the paper adapts whole layers and does not say how its digests put heads
    together.

    Example:
        >>> aggregate_layers(np.array([[0.1, 0.5, 0.3], [0.2, np.nan, 0.4]]), rule="top-2").round(3).tolist()
        [0.4, 0.3]
    """
    best = _highest_count(rule, heads=values.shape[-1])
    counted = values
    if best < values.shape[-1]:
        counted = np.sort(np.where(np.isnan(values), -np.inf, values), axis=-1)[..., values.shape[-1] - best :]
    known = np.isfinite(counted)
    count = known.sum(axis=-1)
    total = np.where(known, counted, 0.0).sum(axis=-1)
    layers: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return layers


def check_layer_rule(rule: str, *, heads: int) -> None:
    """Refuse an unknown rule before any work is done.

    Args:
        rule: As for `aggregate_layers`.
        heads: Heads per layer.

    Raises:
        OptionError: If the rule is unknown or M is not in [1, heads].
    """
    _highest_count(rule, heads=heads)


def mean_over_pictures(values: ImageHeadValues, sees_image: ImageHeadValues) -> HeadValues:
    """Average a score over pictures; NaN for heads that hardly ever see the image.

    Args:
        values: Score of each picture and head; NaN where a head saw nothing of the picture.
        sees_image: Share of a picture's responses in which the head sees an image token.

    Returns:
        One number per head.
    """
    return np.where(blind_heads(sees_image), np.nan, nan_mean(values))


def layer_shares(own: ImageHeadValues, sees_image: ImageHeadValues) -> Float[np.ndarray, "images layers"]:
    """Split the layers' scores (rule `mean`) into pictures.

    Where every head sees every picture, a picture's share is the mean over the layer's heads. A head that saw nothing
    of a picture counts there with its mean over the others, and counts the more on those.

    Args:
        own: Score of each picture and head; NaN where a head saw nothing of the picture.
        sees_image: Share of a picture's responses in which the head sees an image token.

    Returns:
        Shares whose mean over pictures is the layer's score; NaN for layers without one.
    """
    means = mean_over_pictures(own, sees_image)
    known = ~np.isnan(own)
    weight = len(own) / np.maximum(known.sum(axis=0), 1)
    return aggregate_layers(np.where(known, (own.astype(np.float64) - means) * weight, 0.0) + means)


def _highest_count(rule: str, *, heads: int) -> int:
    """Give how many of the highest heads are averaged.

    Raises:
        OptionError: If the rule is unknown or M is not in [1, heads].
    """
    if rule in {"mean", "max"}:
        return heads if rule == "mean" else 1
    found = re.fullmatch(r"top-(\d+)", rule)
    if not found or not 1 <= int(found[1]) <= heads:
        raise OptionError(
            f"Unknown way to put heads together: {rule!r}. Expected mean, max, or top-M with M from 1 to "
            f"{heads}, such as top-{min(2, heads)}."
        )
    return int(found[1])
