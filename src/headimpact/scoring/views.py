"""The ways in which a picture enters, whole and in tiles: each is scored by itself, views averaged by area."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.scoring.key_tokens import key_tokens, token_weights
from headimpact.scoring.mask_groups import GPU_SMALL, MaskGroup, masks_by_size
from headimpact.scoring.shared_work import once

BLOCK_CELLS = 2**20
GPU_BLOCK_CELLS = 2**23
"""On a GPU starting a computation costs more than its numbers do: fewer, larger blocks."""

_CELLS_PER_TOKEN = 8
"""What a score may hold for every token of a head at once, in numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class ViewTokens:
    """The image tokens of one view, those without a place on the picture left out.

    Attributes:
        inside: Whether a token is a key token (M) of a mask; only masks that say something in this view.
        coverage: Share of each token's area that a mask covers.
        weights: Area of each token, as `token_weights` gives it.
        sizes: Area |M| of each mask's key tokens.
    """

    inside: Bool[Tensor, "masks image_tokens"]
    coverage: Float[Tensor, "masks image_tokens"]
    weights: Float[Tensor, " image_tokens"]
    sizes: Float[Tensor, " masks"]

    @functools.cached_property
    def are_equal(self) -> bool:
        """Whether all tokens have the same area, so that counting them is enough."""
        return bool((self.weights == self.weights[0]).all())

    @functools.cached_property
    def by_size(self) -> list[MaskGroup]:
        """The masks with their own tokens, a few of about the same size at a time."""
        return list(masks_by_size(self.inside, self.weights))

    @functools.cached_property
    def _members(self) -> Float[Tensor, "image_tokens masks"]:
        """1 for the key tokens of each mask, 0 for others."""
        return self.inside.to(self.weights.dtype).T

    def to(self, device: torch.device) -> "ViewTokens":
        """Bring everything to another device, after finding out here what would keep that device waiting.

        Args:
            device: Where the heads' attention is.
        """
        moved = ViewTokens(
            self.inside.to(device), self.coverage.to(device), self.weights.to(device), self.sizes.to(device)
        )
        groups = masks_by_size(self.inside, self.weights, small=GPU_SMALL)
        by_size = [(masks.to(device), own.to(device), held.to(device)) for masks, own, held in groups]
        vars(moved).update(are_equal=self.are_equal, by_size=by_size)
        return moved

    def sum_inside(self, values: Float[Tensor, "rows image_tokens"]) -> Float[Tensor, "rows masks"]:
        """Add up values over each mask's key tokens, in double precision."""
        return values.to(self.weights.dtype) @ self._members


ScoreRows = Callable[[Tensor, ViewTokens], Tensor]
"""From some heads' attention `[rows, image_tokens]` and the tokens to scores `[rows, masks]` in double precision."""

_View = TypeVar("_View")


def average_views(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    views: Int[Tensor, " image_tokens"] | None,
    score_rows: ScoreRows,
    *,
    at_once: bool = False,
) -> Float[Tensor, "masks layers heads"]:
    """Score every head against every mask, view by view and in blocks of heads, so that memory stays bounded.

    Args:
        maps: Attention to the image tokens; at least 0.
        coverage: Share of each token's area that a mask covers. Masks are laid on tokens where coverage, areas and
            views are, best on the CPU, and then brought to the maps' device.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token's view; one view if None.
        score_rows: The score of one view; NaN maps reach it as 0.
        at_once: `score_rows` takes all heads at once, NaN perhaps left in, and tokens from where the masks were laid.

    Returns:
        The average over views in single precision, weighted by the area they see; views that say nothing about a
        mask (`key_tokens`) are left out. NaN for masks about which no view says anything and for heads with NaN in
        their map.
    """
    placed = once(_placed_views, coverage, areas, views)
    is_whole = len(placed) == 1 and len(placed[0].masks) == len(coverage)
    shape = (coverage.shape[0], *maps.shape[:2])
    if at_once and is_whole:
        rows = _columns(maps.flatten(0, 1), placed[0].chosen)
        return score_rows(rows, placed[0].tokens).T.to(torch.float32).reshape(shape)
    rows, is_nan = once(_finite_rows, maps)
    scored = []
    for view in placed:
        seen_rows = once(_columns, rows, view.on(maps.device).chosen)
        found = (
            score_rows(seen_rows, view.tokens)
            if at_once
            else _score_in_blocks(seen_rows, view.on(maps.device).tokens, score_rows)
        )
        scored.append(found.T)
    if is_whole:
        (scores,) = scored
    else:
        total = torch.zeros(coverage.shape[0], rows.shape[0], dtype=torch.float64, device=maps.device)
        seen = torch.zeros(coverage.shape[0], 1, dtype=torch.float64, device=maps.device)
        for view, found in zip((one.on(maps.device) for one in placed), scored, strict=True):
            total[view.masks] += view.share * found
            seen[view.masks] += view.share
        scores = torch.where(seen > 0, total / seen.clamp(min=1e-300), torch.nan)
    scores = scores.to(torch.float32)
    if is_nan is not None:
        scores = scores.masked_fill(is_nan, torch.nan)
    return scores.reshape(shape)


@dataclasses.dataclass(frozen=True, eq=False)
class _PlacedView:
    """Masks laid on the tokens of one view: the tokens' numbers, the masks that say something, the area seen."""

    chosen: Int[Tensor, " chosen"]
    masks: Int[Tensor, " masks"]
    tokens: ViewTokens
    share: Float[Tensor, ""]
    moved: dict[torch.device, "_PlacedView"] = dataclasses.field(default_factory=dict)

    def on(self, device: torch.device) -> "_PlacedView":
        """Give this view on the device of the heads' attention, brought there once."""
        if device == self.chosen.device:
            return self
        if device not in self.moved:
            self.moved[device] = _PlacedView(
                self.chosen.to(device), self.masks.to(device), self.tokens.to(device), self.share.to(device)
            )
        return self.moved[device]


def _placed_views(
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    views: Int[Tensor, " image_tokens"] | None,
) -> list[_PlacedView]:
    """Lay masks on the tokens of every view."""
    placed = []
    for chosen in once(view_tokens, areas, views):
        covered = _columns(coverage, chosen)
        found = key_tokens(covered, areas[chosen])
        usable = [number for number, reason in enumerate(found.skipped) if reason is None]
        masks = torch.tensor(usable, dtype=torch.long, device=coverage.device)
        if len(usable) == len(covered):
            tokens = ViewTokens(found.inside, covered, found.weights, found.sizes)
        else:
            tokens = ViewTokens(found.inside[masks], covered[masks], found.weights, found.sizes[masks])
        placed.append(_PlacedView(chosen, masks, tokens, areas[chosen].to(torch.float64).sum()))
    return placed


def average_views_without_masks(
    maps: Float[Tensor, "layers heads image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    views: Int[Tensor, " image_tokens"] | None,
    score_rows: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, "layers heads"]:
    """Score every head by its map alone, view by view and in blocks of heads.

    Args:
        maps: Attention to the image tokens; at least 0.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token's view; one view if None.
        score_rows: From attention `[rows, image_tokens]` and the view's token numbers to one value per row.

    Returns:
        The average over views, weighted by the area they see, in single precision; views without a value are left
        out. NaN where no view has one and for heads with NaN in their map.
    """
    rows, is_nan = once(_finite_rows, maps)
    total = torch.zeros(rows.shape[0], dtype=torch.float64, device=maps.device)
    seen = torch.zeros_like(total)
    for chosen in once(view_tokens, areas, views):
        values = _score_in_blocks(once(_columns, rows, chosen), chosen, score_rows)
        share = areas[chosen].to(torch.float64).sum()
        total += share * values.nan_to_num(nan=0.0)
        seen += share * ~values.isnan()
    scores = torch.where(seen > 0, total / seen.clamp(min=1e-300), torch.nan)
    if is_nan is not None:
        scores = scores.masked_fill(is_nan, torch.nan)
    return scores.to(torch.float32).reshape(maps.shape[:2])


def view_tokens(
    areas: Float[Tensor, " image_tokens"], views: Int[Tensor, " image_tokens"] | None
) -> list[Int[Tensor, " chosen"]]:
    """Give the numbers of each view's tokens, those without a place left out.

    Returns:
        For each view its token numbers, ascending.
    """
    labels = torch.zeros_like(areas, dtype=torch.long) if views is None else views
    placed = token_weights(areas) > 0
    return [(placed & (labels == label)).nonzero()[:, 0] for label in sorted(set(labels[placed].tolist()))]


def _finite_rows(
    maps: Float[Tensor, "layers heads image_tokens"],
) -> tuple[Float[Tensor, "rows image_tokens"], Bool[Tensor, " rows"] | None]:
    """Give heads as rows with 0 for NaN, and which of them hold NaN; None for none."""
    rows = maps.flatten(0, 1).float()
    is_nan = rows.sum(dim=1).isnan()
    # A GPU would have to be waited for to learn that there is nothing to do.
    return (rows.nan_to_num(nan=0.0), is_nan) if rows.is_cuda or bool(is_nan.any()) else (rows, None)


def _columns(
    values: Float[Tensor, "rows image_tokens"], chosen: Int[Tensor, " chosen"]
) -> Float[Tensor, "rows chosen"]:
    """Pick a view's tokens; no copy where they are all."""
    return values if len(chosen) == values.shape[1] else values[:, chosen]


def _score_in_blocks(
    rows: Float[Tensor, "rows image_tokens"], view: _View, score_rows: Callable[[Tensor, _View], Tensor]
) -> Tensor:
    """Score some heads of a view at a time and put the results together."""
    return torch.cat([score_rows(block, view) for block in once(_blocks, rows)])


def _blocks(rows: Float[Tensor, "rows image_tokens"]) -> tuple[Tensor, ...]:
    """Cut rows into blocks of bounded size."""
    cells = GPU_BLOCK_CELLS if rows.is_cuda else BLOCK_CELLS
    size = max(1, cells // max(rows.shape[1] * _CELLS_PER_TOKEN, 1))
    return tuple(rows[start : start + size] for start in range(0, max(len(rows), 1), size))
