"""Expected IoU where tied tokens are drawn at random for the places that are left."""

import torch
from jaxtyping import Float
from torch import Tensor

CELLS = 2_000_000
ROUNDING = 1e-9


def expected_tied_iou(
    *,
    certain: Float[Tensor, " cases"],
    unit: Float[Tensor, " cases"],
    tied: Float[Tensor, " cases"],
    hits: Float[Tensor, " cases"],
    places: Float[Tensor, " cases"],
    size: Float[Tensor, " cases"],
) -> Float[Tensor, " cases"]:
    r"""Average IoU(P, M) over all orders of the tokens tied at the cut.

    P takes the certain tokens and then, in random order, tied ones until it has M's area; the last may be
    taken in part. With t tied tokens of equal area, h of them in M, and r + f places (r whole, f in
    [0, 1)), the number of hits among the whole places is hypergeometric and the token taken in part is a
    hit with probability (h - x) / (t - r):

        E = sum_x  C(h, x) C(t-h, r-x) / C(t, r)  [ (1-q_x) g(x) + q_x g(x+f) ],   q_x = (h-x)/(t-r)
        g(x) = (I + u x) / (2|M| - I - u x)

    IoU is convex in the number of hits, so this is more than the IoU of the expected number. For tied
    tokens of unequal area the same formula is used with their mean area as u; h is then no whole number
    and the two whole ones beside it are averaged. That is an approximation, exact for equal areas.

    Args:
        certain: Area I in M of the tokens above the cut.
        unit: Area u of one tied token.
        tied: Number t of tied tokens; more than `places`.
        hits: Tied tokens in M, as an area in units of u; in [0, t].
        places: Area left for tied tokens, in units of u.
        size: Area of M (and of P).

    Returns:
        Expected IoU in [0, 1].

    Source: expectation over hypergeometric sampling; "ties at the cut share the remaining places" on the
    scores page (`docs/method.md`).

    Example:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> expected_tied_iou(certain=0 * one, unit=one, tied=4 * one, hits=one, places=one, size=one).round(decimals=9)
        tensor([0.2500], dtype=torch.float64)
    """
    whole = torch.floor(hits + ROUNDING)
    share = (hits - whole).clamp(min=0.0)
    share = torch.where(share < ROUNDING, 0.0, share)
    taken = torch.floor(places + ROUNDING)
    part = (places - taken).clamp(min=0.0)
    fields = torch.stack([certain, unit, tied, taken, part, size, whole, share])
    fields, case = torch.unique(fields, dim=1, return_inverse=True)
    fixed, whole, share = fields[:6], fields[6], fields[7]
    expected = _whole_hits(fixed, whole)
    if bool((share > 0).any()):
        more = _whole_hits(fixed, torch.minimum(whole + 1, fixed[2]))
        expected = (1 - share) * expected + share * more
    return expected[case]


def _whole_hits(fixed: Float[Tensor, "fields cases"], hits: Float[Tensor, " cases"]) -> Float[Tensor, " cases"]:
    """Average over the hypergeometric number of hits, in blocks of bounded memory."""
    if not hits.numel():
        return hits
    outcomes = int(torch.minimum(hits, fixed[3]).max()) + 1
    block = max(1, CELLS // outcomes)
    counts = torch.arange(outcomes, dtype=hits.dtype, device=hits.device)
    parts = [
        _expectation(fixed[:, start : start + block], hits[start : start + block], counts)
        for start in range(0, hits.numel(), block)
    ]
    return torch.cat(parts)


def _expectation(
    fixed: Float[Tensor, "fields cases"], hits: Float[Tensor, " cases"], counts: Float[Tensor, " outcomes"]
) -> Float[Tensor, " cases"]:
    """Sum probability times IoU over the possible numbers of hits."""
    certain, unit, tied, taken, part, size = (row[:, None] for row in fixed)
    hits = hits[:, None]
    misses = tied - hits
    possible = (counts <= torch.minimum(hits, taken)) & (taken - counts <= misses)
    hit = torch.where(possible, counts, torch.maximum(taken - misses, torch.zeros_like(hits)))
    logs = _log_choose(hits, hit) + _log_choose(misses, taken - hit) - _log_choose(tied, taken)
    chance = torch.where(possible, logs.exp(), 0.0)
    partial_hit = (hits - hit) / (tied - taken)
    covered = certain + unit * hit
    iou = covered / (2 * size - covered)
    covered = covered + unit * part
    iou_partial = covered / (2 * size - covered)
    expected: Tensor = (chance * ((1 - partial_hit) * iou + partial_hit * iou_partial)).sum(dim=1)
    return expected


def _log_choose(total: Tensor, chosen: Tensor) -> Tensor:
    """Give the logarithm of a binomial coefficient."""
    return torch.lgamma(total + 1) - torch.lgamma(chosen + 1) - torch.lgamma(total - chosen + 1)
