"""The ways in which a picture enters, whole and in tiles: each is scored by itself, views averaged by area."""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.scoring.key_tokens import key_tokens, token_weights
from headimpact.scoring.mask_groups import GPU_SMALL, MaskGroup, masks_by_size

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
    """

    inside: Bool[Tensor, "masks image_tokens"]
    coverage: Float[Tensor, "masks image_tokens"]
    weights: Float[Tensor, " image_tokens"]

    @functools.cached_property
    def sizes(self) -> Float[Tensor, " masks"]:
        """Area |M| of each mask's key tokens."""
        return self.inside.to(self.weights.dtype) @ self.weights

    @functools.cached_property
    def are_equal(self) -> bool:
        """Whether all tokens have the same area, so that counting them is enough."""
        return bool((self.weights == self.weights[0]).all())

    @functools.cached_property
    def by_size(self) -> list[MaskGroup]:
        """The masks with their own tokens, a few of about the same size at a time."""
        return list(masks_by_size(self.inside, self.weights))

    def to(self, device: torch.device) -> "ViewTokens":
        """Bring everything to another device, after finding out here what would keep that device waiting.

        Args:
            device: Where the heads' attention is.
        """
        moved = ViewTokens(self.inside.to(device), self.coverage.to(device), self.weights.to(device))
        groups = masks_by_size(self.inside, self.weights, small=GPU_SMALL)
        by_size = [(masks.to(device), own.to(device), held.to(device)) for masks, own, held in groups]
        vars(moved).update(sizes=self.sizes.to(device), are_equal=self.are_equal, by_size=by_size)
        return moved

    def sum_inside(self, values: Float[Tensor, "rows image_tokens"]) -> Float[Tensor, "rows masks"]:
        """Add up values over each mask's key tokens, in double precision."""
        return values.to(self.weights.dtype) @ self.inside.to(self.weights.dtype).T


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
    placed = _placed_views(coverage, areas, views)
    shape = (coverage.shape[0], *maps.shape[:2])
    if at_once and len(placed) == 1 and len(placed[0].masks) == len(coverage):
        rows = _columns(maps.flatten(0, 1), placed[0].chosen)
        return score_rows(rows, placed[0].tokens).T.to(torch.float32).reshape(shape)
    rows, is_nan = _finite_rows(maps)
    total = torch.zeros(coverage.shape[0], rows.shape[0], dtype=torch.float64, device=maps.device)
    seen = torch.zeros(coverage.shape[0], dtype=torch.float64, device=maps.device)
    for laid in placed:
        view = laid.on(maps.device)
        if at_once:
            scored = score_rows(_columns(rows, view.chosen), laid.tokens)
        else:
            scored = _score_in_blocks(_columns(rows, view.chosen), view.tokens, score_rows)
        total[view.masks] += view.share * scored.T
        seen[view.masks] += view.share
    scores = torch.where(seen[:, None] > 0, total / seen[:, None].clamp(min=1e-300), torch.nan)
    scores.masked_fill_(is_nan, torch.nan)
    return scores.to(torch.float32).reshape(shape)


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


_SHARED: contextvars.ContextVar[dict[tuple[int, ...], tuple[tuple[Tensor | None, ...], list[_PlacedView]]] | None] = (
    contextvars.ContextVar("shared", default=None)
)


@contextlib.contextmanager
def masks_laid_once() -> Iterator[None]:
    """Lay the same masks on the same tokens once for all scores inside the block.

    Tensors count as the same where they are the same objects; they must not be written to inside.

    Yields:
        Nothing.
    """
    before = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(before)


def _placed_views(
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    views: Int[Tensor, " image_tokens"] | None,
) -> list[_PlacedView]:
    """Lay masks on the tokens of every view, or give what was laid before."""
    given, shared = (coverage, areas, views), _SHARED.get()
    key = tuple(map(id, given))
    if shared is not None and key in shared:
        return shared[key][1]
    placed = []
    for chosen in view_tokens(areas, views):
        covered = _columns(coverage, chosen)
        found = key_tokens(covered, areas[chosen])
        usable = torch.tensor([reason is None for reason in found.skipped], device=coverage.device)
        masks = usable.nonzero()[:, 0]
        tokens = ViewTokens(found.inside[masks], covered[masks], token_weights(areas[chosen]))
        placed.append(_PlacedView(chosen, masks, tokens, areas[chosen].to(torch.float64).sum()))
    if shared is not None:
        shared[key] = (given, placed)  # held, so that no other tensor takes over an id
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
    rows, is_nan = _finite_rows(maps)
    total = torch.zeros(rows.shape[0], dtype=torch.float64, device=maps.device)
    seen = torch.zeros_like(total)
    for chosen in view_tokens(areas, views):
        values = _score_in_blocks(_columns(rows, chosen), chosen, score_rows)
        share = areas[chosen].to(torch.float64).sum()
        total += share * values.nan_to_num(nan=0.0)
        seen += share * ~values.isnan()
    scores = torch.where(seen > 0, total / seen.clamp(min=1e-300), torch.nan)
    scores.masked_fill_(is_nan, torch.nan)
    return scores.to(torch.float32).reshape(maps.shape[:2])


def view_tokens(
    areas: Float[Tensor, " image_tokens"], views: Int[Tensor, " image_tokens"] | None
) -> Iterator[Int[Tensor, " chosen"]]:
    """Give the numbers of each view's tokens, those without a place left out.

    Yields:
        Token numbers of one view, ascending.
    """
    labels = torch.zeros_like(areas, dtype=torch.long) if views is None else views
    placed = token_weights(areas) > 0
    for label in sorted(set(labels[placed].tolist())):
        yield (placed & (labels == label)).nonzero()[:, 0]


def _finite_rows(
    maps: Float[Tensor, "layers heads image_tokens"],
) -> tuple[Float[Tensor, "rows image_tokens"], Bool[Tensor, " rows"]]:
    """Give heads as rows with 0 for NaN, and which of them hold NaN."""
    rows = maps.flatten(0, 1).float()
    is_nan = rows.sum(dim=1).isnan()
    # A GPU would have to be waited for to learn that there is nothing to do.
    return (rows.nan_to_num(nan=0.0) if rows.is_cuda or bool(is_nan.any()) else rows), is_nan


def _columns(
    values: Float[Tensor, "rows image_tokens"], chosen: Int[Tensor, " chosen"]
) -> Float[Tensor, "rows chosen"]:
    """Pick a view's tokens; no copy where they are all."""
    return values if len(chosen) == values.shape[1] else values[:, chosen]


def _score_in_blocks(
    rows: Float[Tensor, "rows image_tokens"], view: _View, score_rows: Callable[[Tensor, _View], Tensor]
) -> Tensor:
    """Score some heads of a view at a time and put the results together."""
    cells = GPU_BLOCK_CELLS if rows.is_cuda else BLOCK_CELLS
    block = max(1, cells // max(rows.shape[1] * _CELLS_PER_TOKEN, 1))
    return torch.cat([score_rows(rows[start : start + block], view) for start in range(0, rows.shape[0], block)])
