"""Head Impact by area in one GPU kernel (`kernels/area_iou.py`): all masks against all heads, after one sort.

Sizes are whole numbers of 2^-12 tokens (`key_tokens.token_weights`), so sums are exact in any order and the kernel
finds what `head_impact.py` finds. Two tokens tied at the cut are averaged in the kernel; cells where more are tied and
the draw decides come back as infinity, for `head_impact.py` to compute.
"""

import contextlib

import torch
from jaxtyping import Float
from torch import Tensor

from headimpact.kernels.area_iou import area_iou
from headimpact.scoring.key_tokens import AREA_STEPS
from headimpact.scoring.views import ViewTokens

_TOKENS_AT_ONCE = 256
_MASKS_AT_ONCE = 8


def fused_area_iou(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "masks rows"]:
    """Score the tokens of highest attention up to the area of each mask, one view at a time.

    Args:
        rows: Attention of every head to the view's tokens, on a GPU.
        tokens: The view's tokens, on the CPU.

    Returns:
        IoU in single precision; NaN for rows that hold NaN, infinity where three or more tokens tied at the cut
        decide by draw.

    Source: the rule `area` of `head_impact`; the mean over the two draws of two tied tokens is the formula of
    `ties.py` for t = 2.
    """
    rows = rows.contiguous()
    areas = (tokens.weights * AREA_STEPS).to(torch.int32)
    sizes = (tokens.sizes * AREA_STEPS).to(torch.int32)
    areas_there, sizes_there = _send(areas, rows.device), _send(sizes, rows.device)
    ordered, order = rows.sort(dim=1, descending=True)
    last = rows.shape[1] - 1
    if tokens.are_equal:
        filled = areas.cumsum(dim=0)
        cuts = _send(torch.searchsorted(filled, sizes.to(filled.dtype)).clamp_(max=last), rows.device)
    else:
        filled = areas_there[order].cumsum(dim=1)
        cuts = torch.searchsorted(filled, sizes_there.to(filled.dtype).expand(len(rows), -1).contiguous())
        cuts.clamp_(max=last)
    found = rows.new_empty((len(sizes), len(rows)))
    grid = (len(rows), -(-len(sizes) // _MASKS_AT_ONCE))
    if found.numel():
        with torch.cuda.device(rows.device) if rows.is_cuda else contextlib.nullcontext():
            area_iou[grid](
                rows, ordered, _send(tokens.inside.to(torch.uint8), rows.device), areas_there, sizes_there, cuts, found,
                rows.shape[1], len(sizes), 0 if tokens.are_equal else len(sizes),
                TOKENS_AT_ONCE=_TOKENS_AT_ONCE, MASKS_AT_ONCE=_MASKS_AT_ONCE,
            )  # fmt: skip
    return found


def _send(values: Tensor, device: torch.device) -> Tensor:
    """Copy to a GPU without waiting for what it is at."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values
