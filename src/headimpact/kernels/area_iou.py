"""IoU of what a head looks at most, up to a mask's area, and the mask."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["num_tokens", "num_masks", "cut_step"])
def area_iou(
    rows, ordered, inside, areas, sizes, cuts, found, num_tokens, num_masks, cut_step,
    TOKENS_AT_ONCE: tl.constexpr, MASKS_AT_ONCE: tl.constexpr,
):  # fmt: skip
    """Compare one head's attention with its value at each mask's cut, and add up areas above and down to it."""
    row = tl.program_id(0).to(tl.int64)
    mask = tl.program_id(1) * MASKS_AT_ONCE + tl.arange(0, MASKS_AT_ONCE)
    is_mask = mask < num_masks
    cut = tl.load(cuts + row * cut_step + mask, mask=is_mask, other=0)
    threshold = tl.load(ordered + row * num_tokens + cut, mask=is_mask, other=0.0)
    # Added up place by place and over the places at last: sums across threads are what takes time.
    above = tl.zeros([MASKS_AT_ONCE, TOKENS_AT_ONCE], tl.int32)
    tied, hits_above, hits_tied, num_tied = above, above, above, above
    num_nan = tl.zeros([TOKENS_AT_ONCE], tl.int32)
    for start in range(0, num_tokens, TOKENS_AT_ONCE):
        token = start + tl.arange(0, TOKENS_AT_ONCE)
        is_token = token < num_tokens
        value = tl.load(rows + row * num_tokens + token, mask=is_token, other=0.0)
        area = tl.load(areas + token, mask=is_token, other=0)
        own = tl.load(
            inside + mask[:, None].to(tl.int64) * num_tokens + token[None, :],
            mask=is_mask[:, None] & is_token[None, :], other=0,
        ) != 0  # fmt: skip
        area_above = tl.where(value[None, :] > threshold[:, None], area[None, :], 0)
        at_cut = (value[None, :] == threshold[:, None]) & is_token[None, :]
        area_tied = tl.where(at_cut, area[None, :], 0)
        above += area_above
        tied += area_tied
        hits_above += tl.where(own, area_above, 0)
        hits_tied += tl.where(own, area_tied, 0)
        num_tied += at_cut.to(tl.int32)
        num_nan += (value != value).to(tl.int32)
    above, tied, num_tied = tl.sum(above, axis=1), tl.sum(tied, axis=1), tl.sum(num_tied, axis=1)
    hits_above, hits_tied = tl.sum(hits_above, axis=1), tl.sum(hits_tied, axis=1)
    size = tl.load(sizes + mask, mask=is_mask, other=1)
    places = size - above
    certain = hits_above.to(tl.float64)
    whole = 2 * size.to(tl.float64)
    expected = certain + places.to(tl.float64) * hits_tied.to(tl.float64) / tl.maximum(tied, 1).to(tl.float64)
    iou = expected / (whole - expected)
    is_drawn = (num_tied > 1) & (hits_tied > 0) & (hits_tied < tied) & (places < tied)
    is_pair = (num_tied == 2) & (2 * hits_tied == tied) & (2 * places == tied)
    with_hit = certain + hits_tied.to(tl.float64)
    of_pair = 0.5 * (certain / (whole - certain) + with_hit / (whole - with_hit))
    iou = tl.where(is_drawn, tl.where(is_pair, of_pair, float("inf")), iou)
    iou = tl.where(tl.sum(num_nan, axis=0) > 0, float("nan"), iou)
    tl.store(found + mask.to(tl.int64) * tl.num_programs(0) + row, iou.to(tl.float32), mask=is_mask)
