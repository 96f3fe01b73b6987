"""The softmax rows of an attention call, reduced over the rows where they meet the image tokens.

    row_totals     every row's highest logit and sum of exponentials, over parts of the keys   [rows x parts]
    reduced_maps   exp(logit - highest) / sum at the image tokens, reduced over the rows       [image tokens]

Logits live in registers only. Where there is little to compute, the second finds the totals by itself.

Source: partial maxima and sums of parts of the keys are joined as in flash decoding (Dao, Haziza, Massa, Sizov 2023, a
blog post of the PyTorch project), after Milakov & Gimelshein 2018 (arXiv 1805.02867).
"""

import triton
import triton.language as tl

_VARYING = [
    "offset",
    "window",
    "rows",
    "num_keys",
    "heads",
    "per_group",
    "head_dim",
    "mask_b",
    "mask_h",
    "mask_t",
    "mask_k",
]
"""Numbers that change from batch to batch: no kernel is compiled anew for them."""


@triton.jit
def _query_tile(
    query, positions, row, is_row, head_offset, step_t, step_d, head_dim, HEAD_BLOCK: tl.constexpr,
):  # fmt: skip
    """Load some rows' positions and queries."""
    place = tl.load(positions + row, mask=is_row, other=0)
    dim = tl.arange(0, HEAD_BLOCK)
    inside = is_row[:, None] & (dim[None, :] < head_dim)
    return place, tl.load(query + head_offset + place[:, None] * step_t + dim[None, :] * step_d, mask=inside, other=0.0)


@triton.jit
def _key_tile(
    key, place, is_key, head_offset, step_t, step_d, head_dim, HEAD_BLOCK: tl.constexpr,
):  # fmt: skip
    """Load the keys of some places."""
    dim = tl.arange(0, HEAD_BLOCK)
    inside = is_key[:, None] & (dim[None, :] < head_dim)
    return tl.load(key + head_offset + place[:, None] * step_t + dim[None, :] * step_d, mask=inside, other=0.0)


@triton.jit
def _logits(
    queries, keys, place, key_place, inside, mask, mask_t, mask_k, scaling, softcap, offset, window,
    MASK: tl.constexpr, IS_CAUSAL: tl.constexpr, HAS_WINDOW: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
):  # fmt: skip
    """Compute masked logits of some rows at some keys, and which of them are seen."""
    lowest: tl.constexpr = -3.4028234663852886e38
    logits = tl.dot(queries, tl.trans(keys), input_precision="ieee") * scaling
    if HAS_SOFTCAP:
        logits = softcap * (2.0 * tl.sigmoid(2.0 * (logits / softcap)) - 1.0)
    seen = inside
    if MASK == 1:
        found = tl.load(mask + place[:, None] * mask_t + key_place[None, :] * mask_k, mask=inside, other=0)
        seen = seen & (found != 0)
    if IS_CAUSAL:
        seen = seen & (key_place[None, :] <= place[:, None] + offset)
    if HAS_WINDOW:
        seen = seen & (key_place[None, :] > place[:, None] + offset - window)
    logits = tl.where(seen, logits, lowest)
    if MASK == 2:
        bias = tl.load(mask + place[:, None] * mask_t + key_place[None, :] * mask_k, mask=inside, other=0.0)
        half: tl.constexpr = -32752.0 if mask.dtype.element_ty == tl.float16 else -1.6947656946257677e38
        bias = bias.to(tl.float32)
        seen = seen & (bias > half)
        logits += bias
    return logits, seen


@triton.jit
def _over_keys(
    queries, key, place, is_row, first, last, key_t, key_d, mask, mask_t, mask_k, scaling, softcap, offset, window,
    num_keys, head_dim,
    ROWS_AT_ONCE: tl.constexpr, KEYS_AT_ONCE: tl.constexpr, HEAD_BLOCK: tl.constexpr,
    MASK: tl.constexpr, IS_CAUSAL: tl.constexpr, HAS_WINDOW: tl.constexpr, HAS_SOFTCAP: tl.constexpr,
    WITH_PEAKS: tl.constexpr,
):  # fmt: skip
    """Go over some keys: the rows' highest logit, the sum of exponentials below it, and the first key that has it."""
    lowest: tl.constexpr = -3.4028234663852886e38
    highest = tl.full([ROWS_AT_ONCE], float("-inf"), tl.float32)
    total = tl.zeros([ROWS_AT_ONCE], tl.float32)
    at = tl.zeros([ROWS_AT_ONCE], tl.int32)
    for start in range(first, last, KEYS_AT_ONCE):
        key_place = start + tl.arange(0, KEYS_AT_ONCE)
        is_key = key_place < num_keys
        keys = _key_tile(key, key_place, is_key, 0, key_t, key_d, head_dim, HEAD_BLOCK)
        logits, _ = _logits(
            queries, keys, place, key_place, is_row[:, None] & is_key[None, :], mask, mask_t, mask_k, scaling, softcap,
            offset, window, MASK, IS_CAUSAL, HAS_WINDOW, HAS_SOFTCAP,
        )  # fmt: skip
        logits = tl.where(is_key[None, :], logits, float("-inf"))
        if WITH_PEAKS:
            top, top_at = tl.max(logits, axis=1, return_indices=True)
            at = tl.where(top > highest, start + top_at, at)
        peak = tl.maximum(tl.maximum(highest, tl.max(logits, axis=1)), lowest)
        total = total * tl.exp(highest - peak) + tl.sum(tl.exp(logits - peak[:, None]), axis=1)
        highest = peak
    return highest, total, at


@triton.jit(do_not_specialize=_VARYING)
def row_totals(
    query, key, mask, positions, query_b, query_h, query_t, query_d, key_b, key_h, key_t, key_d,
    mask_b, mask_h, mask_t, mask_k, scaling, softcap, offset, window, rows, num_keys,
    samples, heads, per_group, head_dim,
    totals, highest_at,
    PARTS: tl.constexpr,
    ROWS_AT_ONCE: tl.constexpr, KEYS_AT_ONCE: tl.constexpr, HEAD_BLOCK: tl.constexpr, MASK: tl.constexpr,
    IS_CAUSAL: tl.constexpr, HAS_WINDOW: tl.constexpr, HAS_SOFTCAP: tl.constexpr, WITH_PEAKS: tl.constexpr,
):  # fmt: skip
    """Find some rows' highest logit and sum of exponentials over one part of the keys."""
    batch, head = (tl.program_id(0) // heads).to(tl.int64), (tl.program_id(0) % heads).to(tl.int64)
    sample = batch % samples  # calls of several layers may stand one after another in a batch
    part = tl.program_id(2)
    row = tl.program_id(1) * ROWS_AT_ONCE + tl.arange(0, ROWS_AT_ONCE)
    is_row = row < rows
    place, queries = _query_tile(
        query, positions + sample * rows, row, is_row, batch * query_b + head * query_h, query_t, query_d,
        head_dim, HEAD_BLOCK,
    )  # fmt: skip
    mask += sample * mask_b + head * mask_h
    blocks_a_part = tl.cdiv(tl.cdiv(num_keys, KEYS_AT_ONCE), PARTS)
    first = part * blocks_a_part * KEYS_AT_ONCE
    last = tl.minimum(first + blocks_a_part * KEYS_AT_ONCE, num_keys)
    highest, total, at = _over_keys(
        queries, key + batch * key_b + (head // per_group) * key_h, place, is_row, first, last, key_t, key_d, mask,
        mask_t, mask_k, scaling, softcap, offset, window, num_keys, head_dim, ROWS_AT_ONCE, KEYS_AT_ONCE, HEAD_BLOCK,
        MASK, IS_CAUSAL, HAS_WINDOW, HAS_SOFTCAP, WITH_PEAKS,
    )  # fmt: skip
    where = (tl.program_id(0).to(tl.int64) * rows + row) * PARTS + part
    tl.store(totals + where, highest, mask=is_row)
    tl.store(totals + tl.num_programs(0).to(tl.int64) * rows * PARTS + where, total, mask=is_row)
    if WITH_PEAKS:
        tl.store(highest_at + where, at, mask=is_row)


@triton.jit(do_not_specialize=[*_VARYING, "tokens", "token_blocks"])
def reduced_maps(
    query, key, mask, positions, query_b, query_h, query_t, query_d, key_b, key_h, key_t, key_d,
    mask_b, mask_h, mask_t, mask_k, scaling, softcap, offset, window, rows, num_keys,
    samples, heads, per_group, head_dim,
    shares, image_tokens,
    totals, maps, sees, tokens, token_blocks,
    PARTS: tl.constexpr,
    ROWS_AT_ONCE: tl.constexpr, KEYS_AT_ONCE: tl.constexpr, HEAD_BLOCK: tl.constexpr, MASK: tl.constexpr,
    IS_CAUSAL: tl.constexpr, HAS_WINDOW: tl.constexpr, HAS_SOFTCAP: tl.constexpr, IS_MEAN: tl.constexpr,
    IN_ONE: tl.constexpr,
):  # fmt: skip
    """Compute the weights of all rows at some image tokens and reduce them over the rows."""
    batch, head = (tl.program_id(0) // heads).to(tl.int64), (tl.program_id(0) % heads).to(tl.int64)
    sample = batch % samples  # calls of several layers may stand one after another in a batch
    token = tl.program_id(1) * KEYS_AT_ONCE + tl.arange(0, KEYS_AT_ONCE)
    is_token = token < tokens
    key_place = tl.load(image_tokens + sample * tokens + token, mask=is_token, other=0)
    keys = _key_tile(
        key, key_place, is_token, batch * key_b + (head // per_group) * key_h, key_t, key_d, head_dim, HEAD_BLOCK
    )
    mask += sample * mask_b + head * mask_h
    reduced = tl.zeros([KEYS_AT_ONCE], tl.float32)
    any_seen = tl.zeros([KEYS_AT_ONCE], tl.int32)
    part = tl.arange(0, PARTS)
    for start in range(0, rows, ROWS_AT_ONCE):
        row = start + tl.arange(0, ROWS_AT_ONCE)
        is_row = row < rows
        place, queries = _query_tile(
            query, positions + sample * rows, row, is_row, batch * query_b + head * query_h, query_t, query_d,
            head_dim, HEAD_BLOCK,
        )  # fmt: skip
        inside = is_row[:, None] & is_token[None, :]
        logits, seen = _logits(
            queries, keys, place, key_place, inside, mask, mask_t, mask_k, scaling, softcap, offset, window,
            MASK, IS_CAUSAL, HAS_WINDOW, HAS_SOFTCAP,
        )  # fmt: skip
        if IN_ONE:
            peak, total, _ = _over_keys(
                queries, key + batch * key_b + (head // per_group) * key_h, place, is_row, 0, num_keys, key_t, key_d,
                mask, mask_t, mask_k, scaling, softcap, offset, window, num_keys, head_dim, ROWS_AT_ONCE, KEYS_AT_ONCE,
                HEAD_BLOCK, MASK, IS_CAUSAL, HAS_WINDOW, HAS_SOFTCAP, False,
            )  # fmt: skip
        else:
            where = (tl.program_id(0).to(tl.int64) * rows + row)[:, None] * PARTS + part[None, :]
            highest = tl.load(totals + where, mask=is_row[:, None], other=0.0)
            below = tl.num_programs(0).to(tl.int64) * rows * PARTS + where
            sums = tl.load(totals + below, mask=is_row[:, None], other=1.0)
            peak = tl.max(highest, axis=1)
            total = tl.sum(sums * tl.exp(highest - peak[:, None]), axis=1)
        weights = tl.where(inside, tl.exp(logits - peak[:, None]) / total[:, None], 0.0)
        if IS_MEAN:
            share = tl.load(shares + sample * rows + row, mask=is_row, other=0.0)
            reduced += tl.sum(weights * share[:, None], axis=0)
        else:
            reduced = tl.maximum(reduced, tl.max(weights, axis=0))
        any_seen = tl.maximum(any_seen, tl.max(seen.to(tl.int32), axis=0))
    tl.store(maps + tl.program_id(0).to(tl.int64) * tokens + token, reduced, mask=is_token)
    tl.store(sees + tl.program_id(0) * token_blocks + tl.program_id(1), tl.max(any_seen, axis=0) > 0)
