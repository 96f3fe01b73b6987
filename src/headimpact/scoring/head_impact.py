"""Head Impact: how far the image tokens a head attends to are the key object's."""

import dataclasses
import functools
from collections.abc import Callable
from types import ModuleType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.core.errors import UnknownNameError
from headimpact.core.registry import unknown_name_message
from headimpact.scoring.binarization import above_mean, above_otsu, above_quantile
from headimpact.scoring.key_tokens import key_tokens
from headimpact.scoring.sorting import descending, descending_order
from headimpact.scoring.ties import expected_tied_iou
from headimpact.scoring.views import ScoreRows, ViewTokens, average_views

RULES = ("area", "mean", "quantile", "otsu", "soft")
"""Ways to turn attention into a predicted region; `area` is the default."""


def head_impact(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    rule: str = "area",
    k: float = 1.0,
    quantile: float = 0.8,
    views: Int[Tensor, " image_tokens"] | None = None,
    settle: bool = True,
) -> Float[Tensor, "masks layers heads"]:
    """Score every head of one sample against several masks: IoU of attended and key tokens.

    Sizes are areas on the image plane. With rule `area`, P is the tokens of highest attention up to
    exactly the area of M, the last one taken in part where areas differ; tokens tied at the cut are drawn
    at random for the places left and the IoU is averaged over the draws (`ties.py`). |P| = |M|, so
    IoU = I / (2|M| - I). The rules `mean`, `quantile` and `otsu` cut at a threshold of the head's own
    (`binarization.py`); `soft` is sum w min(p, m) / sum w max(p, m) with p = A / max A and the coverage m
    itself. The head is sorted once; each mask then costs a comparison over its own tokens.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        rule: One of `RULES`.
        k: Factor of the rule `mean`.
        quantile: Quantile of the rule `quantile`.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by
            itself and views are averaged by the area they see. One view if left out.
        settle: Wait for a GPU to say which heads' ties it left open, and settle them; without it those are infinite
            until `settle_ties` is asked, so that a GPU can be given further work first.

    Returns:
        IoU in [0, 1] in single precision, 1 where the head looks at the key object and nowhere else; NaN
        for masks that say nothing on this grid (`key_tokens`) and for heads with NaN in their map. Higher
        is better.

    Raises:
        UnknownNameError: If the rule is not known.
        OptionError: If the number that the rule uses (k or quantile) is out of range.

    Source: Sergeev & Kotelnikov, arXiv 2511.23375; the paper's binarisation is not known, these rules are
    options of ours.

    Example:
        >>> maps = torch.tensor([[[0.1, 0.6, 0.2, 0.1]]])
        >>> coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        >>> [round(iou, 4) for iou in head_impact(maps, coverage, torch.ones(4)).flatten().tolist()]
        [1.0, 0.3333]
    """
    if rule not in RULES:
        raise UnknownNameError(unknown_name_message("binarisation rule", rule, RULES))
    score_rows: dict[str, ScoreRows] = {
        "area": _area_iou,
        "soft": lambda rows, tokens: _soft_iou(rows, tokens.coverage, tokens.weights),
        "mean": lambda rows, tokens: _region_iou(above_mean(rows, tokens.weights, k=k), tokens),
        "quantile": lambda rows, tokens: _region_iou(above_quantile(rows, tokens.weights, quantile=quantile), tokens),
        "otsu": lambda rows, tokens: _region_iou(above_otsu(rows, tokens.weights), tokens),
    }
    fused = fused_kernels() if rule == "area" and maps.is_cuda else None
    if fused is None:
        return average_views(maps, coverage, areas, views, score_rows[rule])

    def iou(rows: Tensor, tokens: ViewTokens) -> Tensor:
        scores: Tensor = fused.fused_area_iou(rows, tokens)
        return scores.T

    # Masks are laid on the CPU, and there they stay: a caller may have sent them to the maps' device.
    coverage, areas = coverage.cpu(), areas.cpu()
    views = None if views is None else views.cpu()
    scores = average_views(maps, coverage, areas, views, iou, at_once=True)
    return settle_ties(scores, maps, coverage, areas, views=views) if settle else scores


def settle_ties(
    scores: Float[Tensor, "masks layers heads"],
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Compute on the CPU what a GPU left open: heads with three or more tokens tied at a mask's cut.

    Args:
        scores: What `head_impact` with rule `area` and without `settle` gave.
        maps: The same maps.
        coverage: The same masks.
        areas: The same areas.
        views: The same views.

    Returns:
        Scores without infinity.
    """
    is_open = scores.isinf().any(dim=0)
    if not bool(is_open.any()):
        return scores
    views = None if views is None else views.cpu()
    settled = head_impact(maps[is_open].cpu()[None], coverage.cpu(), areas.cpu(), views=views)
    scores[:, is_open] = settled[:, 0].to(scores.device)
    return scores


@functools.cache
def fused_kernels() -> ModuleType | None:
    """Import the GPU kernel where there is a GPU for it; Triton comes with torch for CUDA."""
    if not torch.cuda.is_available():
        return None
    try:
        from headimpact.scoring import fused_head_impact  # noqa: PLC0415 - needs Triton
    except ImportError:
        return None
    return fused_head_impact


def skip_reasons(
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> tuple[str | None, ...]:
    """Say per mask why it cannot be scored on this grid, or None where `head_impact` gives a number.

    Args:
        coverage: Share of each token's area that a mask covers.
        areas: Area of each token on the image plane.
        views: As for `head_impact`; a mask is skipped where every view skips it, for the first's reason.

    Returns:
        `cropped_away`, `covers_too_much` or None, per mask.
    """
    if views is None or not bool((areas > 0).any()):
        return key_tokens(coverage, areas).skipped
    per_view = [
        key_tokens(coverage[:, views == label], areas[views == label]).skipped
        for label in sorted(set(views[areas > 0].tolist()))
    ]
    return tuple(None if None in reasons else reasons[0] for reasons in zip(*per_view, strict=True))


def _area_iou(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "rows masks"]:
    """Score the tokens of highest attention up to the area of each mask."""
    cuts = _cut_at_size(rows, tokens)
    found = _hits(Tensor.ge_, rows, tokens, cuts.threshold)
    iou = found / (2 * tokens.sizes - found)
    open_ = (~cuts.is_clean).any(dim=1)
    if bool(open_.any()):
        iou[open_] = _expected_iou(rows[open_], tokens, cuts.of(open_), hits_through=found[open_])
    return iou


@dataclasses.dataclass(frozen=True, eq=False)
class _Cuts:
    """Where every head's attention is cut to give each mask's size.

    Attributes:
        ordered: Attention from the highest down.
        filled: Area of the tokens down to each place; one row where it is the same for all heads.
        threshold: Attention at the cut.
        is_clean: Whether the tokens of at least that attention take just the mask's size.
    """

    ordered: Float[Tensor, "rows image_tokens"]
    filled: Float[Tensor, "rows_or_one image_tokens"]
    threshold: Float[Tensor, "rows masks"]
    is_clean: Bool[Tensor, "rows masks"]

    def of(self, chosen: Bool[Tensor, " rows"]) -> "_Cuts":
        """Give some heads' cuts."""
        filled = self.filled.expand(len(self.ordered), -1)[chosen]
        return _Cuts(self.ordered[chosen], filled, self.threshold[chosen], self.is_clean[chosen])


def _cut_at_size(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> _Cuts:
    """Find the cuts; tokens of equal area need no order, only the values in order."""
    if tokens.are_equal:
        ordered = descending(rows)
        filled = tokens.weights.cumsum(dim=0)[None]
    else:
        order = descending_order(rows)
        ordered, filled = rows.gather(1, order), tokens.weights[order].cumsum(dim=1)
    last = rows.shape[1] - 1
    cut = torch.searchsorted(filled, tokens.sizes.expand(len(filled), -1).contiguous()).clamp(max=last)
    is_full = filled.gather(1, cut) == tokens.sizes
    cut = cut.expand(len(rows), -1)
    threshold = ordered.gather(1, cut)
    is_last_of_its_value = (cut == last) | (ordered.gather(1, (cut + 1).clamp(max=last)) < threshold)
    return _Cuts(ordered, filled, threshold, is_full & is_last_of_its_value)


def _expected_iou(
    rows: Float[Tensor, "rows image_tokens"],
    tokens: ViewTokens,
    cuts: _Cuts,
    *,
    hits_through: Float[Tensor, "rows masks"],
) -> Float[Tensor, "rows masks"]:
    """Average IoU over the draws of the tokens at the cut, or take the one token there in part."""
    goal = tokens.sizes.expand_as(cuts.threshold)
    ascending, threshold = -cuts.ordered, -cuts.threshold
    first = torch.searchsorted(ascending, threshold)
    last = torch.searchsorted(ascending, threshold, right=True)
    through = cuts.filled.gather(1, last - 1)
    above = torch.where(first > 0, cuts.filled.gather(1, (first - 1).clamp(min=0)), 0.0)
    hits_above = _hits(Tensor.gt_, rows, tokens, cuts.threshold)
    hits_tied = hits_through - hits_above
    places = goal - above
    tied_area = through - above
    expected = hits_above + places * hits_tied / tied_area
    iou = expected / (2 * goal - expected)
    open_ = (last - first > 1) & (hits_tied > 0) & (hits_tied < tied_area) & (places < tied_area)
    if bool(open_.any()):
        tied = (last - first)[open_].to(goal.dtype)
        unit = tied_area[open_] / tied
        iou[open_] = expected_tied_iou(
            certain=hits_above[open_],
            unit=unit,
            tied=tied,
            hits=hits_tied[open_] / unit,
            places=places[open_] / unit,
            size=goal[open_],
        )
    return iou


def _hits(
    compare: Callable[[Tensor, Tensor], Tensor],
    rows: Float[Tensor, "rows image_tokens"],
    tokens: ViewTokens,
    threshold: Float[Tensor, "rows masks"],
) -> Float[Tensor, "rows masks"]:
    """Sum each mask's area above each head's cut, or down to it, a few masks of about the same size at a time."""
    by_token, by_mask = rows.T.contiguous(), threshold.T[:, None]
    found = torch.empty_like(threshold, dtype=tokens.weights.dtype)
    # Tokens of equal area are counted, and single precision counts exactly.
    exact = torch.float32 if tokens.are_equal else tokens.weights.dtype
    for masks, own, held in tokens.by_size:
        values = by_token.index_select(0, own.flatten()).view(*own.shape, -1)
        hit = compare(values, by_mask[masks])  # written over the copy: 1 and 0, no booleans to convert
        found[:, masks] = torch.matmul(held[:, None].to(exact), hit.to(exact))[:, 0].T.to(found.dtype)
    return found


def _region_iou(region: Bool[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "rows masks"]:
    """Score regions that do not depend on the mask."""
    predicted = region.to(tokens.weights.dtype) * tokens.weights
    covered = tokens.sum_inside(predicted)
    return covered / (predicted.sum(dim=1)[:, None] + tokens.sizes - covered)


def _soft_iou(
    maps: Float[Tensor, "rows image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    weights: Float[Tensor, " image_tokens"],
) -> Float[Tensor, "rows masks"]:
    """Score attention relative to its maximum against coverage, without any cut."""
    precise = maps.to(weights.dtype)
    relative = precise / precise.amax(dim=1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    shares = coverage.to(weights.dtype)
    common = torch.stack([torch.minimum(relative, share) @ weights for share in shares], dim=1)
    return common / ((relative @ weights)[:, None] + (shares @ weights) - common)
