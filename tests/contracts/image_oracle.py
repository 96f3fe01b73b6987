"""What the language model really gets of a picture, read at its door: the truth that layouts are held to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headimpact.models.family import base_model
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.patch_grid import mask_coverage
from headimpact.models.prompts import EncodedBatch, encode
from tests.tiny_models.tiny_model import TinyModel

SHAPES_HW = [(60, 90), (90, 60), (64, 64), (100, 31), (33, 97), (200, 170), (41, 150)]
BACKGROUND, CHANGED_RED = (100, 250, 250), 130
"""Two constant channels keep the tower's normalisation nearly linear in the third."""

Square = tuple[slice, slice]


class _AtTheDoorError(Exception):
    """Stops a forward pass once the first decoder layer has been called."""


def picture(size_hw: tuple[int, int], *, seed: int = 0) -> Image.Image:
    """A picture of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8))


def image_states(loaded: LoadedModel, inputs: Mapping[str, Any]) -> Tensor:
    """What attention may take as image keys: the first decoder layer's input, or the states for cross-attention.

    Returns `[batch, keys, width]`, 0 for keys of cross-attention that a row's end does not see. The forward pass
    stops there.
    """
    found: list[Tensor] = []

    def stop(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        del module
        crossed = kwargs.get("cross_attention_states")
        if crossed is not None:
            seen = kwargs["cross_attention_mask"][:, 0, -1, :, None] == 0
            crossed = crossed.reshape(*seen.shape[:2], -1) * seen
        found.append(crossed if crossed is not None else args[0] if args else kwargs["hidden_states"])
        raise _AtTheDoorError

    layer = base_model(loaded.model).get_submodule(loaded.family.layer_prefix(0))
    handle = layer.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        with torch.no_grad():
            loaded.family.backbone(loaded.model)(**inputs, use_cache=False)
    except _AtTheDoorError:
        pass
    finally:
        handle.remove()
    return found[0].detach().clone()


def unmix(loaded: LoadedModel, tiny: TinyModel) -> LoadedModel:
    """Cut the ties between the tower's tokens and let each first projection see its pixels' mean alone."""
    cut = pooled = 0
    torch.manual_seed(1)
    with torch.no_grad():
        for path, module in loaded.model.named_modules():
            if not any(part in path for part in tiny.tower):
                continue
            if path.endswith(tiny.mixing):
                module.weight.zero_()
                if module.bias is not None:
                    module.bias.zero_()
                cut += 1
            if path.endswith(tiny.patch_embedding):
                _pool(module, channel_first=tiny.channel_first)
                pooled += 1
    assert cut, "no module of the tower mixes tokens: name them in the tiny model's `mixing`"
    assert pooled == 1, f"{pooled} first projections, expected one: name it in the tiny model's `patch_embedding`"
    return loaded


def _pool(projection: torch.nn.Module, *, channel_first: bool) -> None:
    """Give every pixel of a channel the same weight."""
    weight: Any = projection.weight
    per_channel = torch.randn(weight.shape[0], 3) / 200
    if weight.ndim > 2:
        weight.copy_(per_channel.view(*per_channel.shape, *[1] * (weight.ndim - 2)).expand_as(weight))
    elif channel_first:
        weight.copy_(per_channel.repeat_interleave(weight.shape[1] // 3, dim=1))
    else:
        weight.copy_(per_channel.repeat(1, weight.shape[1] // 3))


def movement(unmixed: LoadedModel, size_hw: tuple[int, int], square: Square) -> tuple[np.ndarray, ImageTokenLayout]:
    """How far each image token moves when a square becomes redder, against the whole picture becoming so."""
    pixels = np.full((*size_hw, 3), BACKGROUND, dtype=np.uint8)
    before, layout = _states_of(unmixed, pixels)
    pixels[..., 0][square] = CHANGED_RED
    after, _ = _states_of(unmixed, pixels)
    pixels[..., 0] = CHANGED_RED
    whole, _ = _states_of(unmixed, pixels)
    moved, most = ((changed - before).norm(dim=-1).numpy()[layout.positions] for changed in (after, whole))
    # Tokens of padding have no area; beside the picture they move a little, through the resizing filter.
    return np.where(layout.areas > 0, moved / np.where(most > 0, most, 1.0), 0.0), layout


def _states_of(loaded: LoadedModel, pixels: np.ndarray) -> tuple[Tensor, ImageTokenLayout]:
    """Image states and layout of one picture."""
    batch = encode(loaded, [Image.fromarray(pixels)], ["Describe the main object."])
    return image_states(loaded, batch.inputs)[0].float(), batch.layouts[0]


def squares(count: int, *, shapes_hw: Sequence[tuple[int, int]] = SHAPES_HW) -> list[tuple[tuple[int, int], Square]]:
    """Random squares, a third to two thirds of the short side, over all shapes."""
    rng = np.random.default_rng(5)
    found = []
    for index in range(count):
        height, width = shapes_hw[index % len(shapes_hw)]
        side = int(min(height, width) * rng.uniform(0.34, 0.67))
        top, left = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        found.append(((height, width), (slice(int(top), int(top + side)), slice(int(left), int(left + side)))))
    return found


def processed_places(loaded: LoadedModel, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where in the picture every processed pixel lies, asked of the processor: two ramps are sent through it.

    Returns `(x, y)`, in shares of the picture's width and height and in the shape of the processed pixels; NaN for
    padding, which is the same whatever the picture. A ramp has a level of 192, so places are good to half a percent.
    """
    shares = [(np.arange(length) + 0.5) / length for length in size_hw]
    down, right = np.meshgrid(*shares, indexing="ij")
    dark, light, x, y = (_processed(loaded, share) for share in (np.zeros(size_hw), np.ones(size_hw), right, down))
    span = np.where(light != dark, light - dark, np.nan)
    return (x - dark) / span, (y - dark) / span


def _processed(loaded: LoadedModel, shares: np.ndarray) -> np.ndarray:
    """Processed pixels of a grey picture between dark and light."""
    grey = np.rint(32 + 192 * shares).astype(np.uint8)
    batch = encode(loaded, [Image.fromarray(np.repeat(grey[..., None], 3, axis=2))], ["What?"])
    return np.asarray(batch.inputs["pixel_values"].double())


Window = tuple[tuple[float, float], tuple[float, float]]
"""Left and right, top and bottom, in shares of width and height."""


def clear_windows(layout: ImageTokenLayout, count: int, *, seed: int) -> list[Window]:
    """Random windows whose edges stay clear of every token's edges, so that a window covers a part of a token or none.

    What is left or taken of a token is at least a sixth of it, and more than places may be off.
    """
    rng = np.random.default_rng(seed)
    boxes = layout.boxes[layout.areas > 0]
    by_axis = [_clear_places(boxes[:, axis], boxes[:, axis + 2]) for axis in (0, 1)]
    windows: list[Window] = []
    while len(windows) < count:
        (left, right), (top, bottom) = (np.sort(rng.choice(places, 2)).tolist() for places in by_axis)
        if min(right - left, bottom - top) >= 0.2:
            windows.append(((left, right), (top, bottom)))
    return windows


def _clear_places(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Shares of one axis that are clear of all tokens' edges."""
    margins = np.maximum((ends - starts) / 6, 0.008)
    places = np.linspace(0.02, 0.98, 481)
    is_clear = [(np.abs(place - np.stack([starts, ends])) > margins).all() for place in places]
    return np.asarray(places[np.array(is_clear)])


def tokens_under(window: Window, layout: ImageTokenLayout, boxes: np.ndarray) -> set[int]:
    """Positions of the tokens of which a window covers a part."""
    (left, right), (top, bottom) = window
    x0, y0, x1, y1 = boxes.T
    covered = (x0 < right) & (x1 > left) & (y0 < bottom) & (y1 > top) & (x1 > x0) & (y1 > y0)
    return set(layout.positions[covered].tolist())


def moved_tokens(loaded: LoadedModel, inputs: Mapping[str, Any], under: np.ndarray) -> set[int]:
    """Positions whose states change when processed pixels do."""
    pixels = inputs["pixel_values"]
    before = image_states(loaded, inputs)[0]
    after = image_states(loaded, {**inputs, "pixel_values": pixels + torch.from_numpy(under).to(pixels.dtype)})[0]
    return set((before != after).any(dim=-1).nonzero().flatten().tolist())


def coverage_of(size_hw: tuple[int, int], square: Square, boxes: np.ndarray) -> np.ndarray:
    """Share of each rectangle that a square covers."""
    mask = np.zeros((1, *size_hw), dtype=bool)
    mask[0][square] = True
    return np.asarray(mask_coverage(mask, boxes)[0])


def widened(square: Square, reach: int) -> Square:
    """A square with a margin."""
    rows, columns = (slice(max(0, part.start - reach), part.stop + reach) for part in square)
    return rows, columns


def wrong_boxes(layout: ImageTokenLayout) -> dict[str, np.ndarray]:
    """Rectangles as somebody would have them who made one of the usual mistakes; only mistakes that differ."""
    grids = [layout.image_index * 1000 + layout.tile == key for key in _grid_keys(layout)]
    transposed = layout.boxes.copy()
    for grid in grids:
        rows, columns = layout.grid_row[grid].max() + 1, layout.grid_column[grid].max() + 1
        if rows * columns == grid.sum():
            transposed[grid] = layout.boxes[grid].reshape(rows, columns, 4).transpose(1, 0, 2).reshape(-1, 4)
    faults = {"transposed": transposed, "one too far": np.roll(layout.boxes, 1, axis=0)}
    if len(grids) > 1:
        faults["tiles rotated"] = np.roll(layout.boxes, int(grids[0].sum()), axis=0)
    whole = layout.tile == WHOLE_PICTURE
    if whole.any() and not whole.all():
        ends = (layout.boxes[whole], layout.boxes[~whole])
        faults["whole at the other end"] = np.concatenate(ends[::-1] if whole[0] else ends)
    tiles = [grid for grid in grids if not whole[grid].any()]
    if len({int(tile.sum()) for tile in tiles}) == 1:
        reversed_boxes = layout.boxes.copy()
        for tile, other in zip(tiles, tiles[::-1], strict=True):
            reversed_boxes[tile] = layout.boxes[other]
        faults["tiles reversed"] = reversed_boxes
    return {fault: boxes for fault, boxes in faults.items() if not np.array_equal(boxes, layout.boxes)}


def _grid_keys(layout: ImageTokenLayout) -> list[int]:
    """Grids in the order of the sequence."""
    return list(dict.fromkeys((layout.image_index * 1000 + layout.tile).tolist()))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson correlation, 0 where one side does not vary."""
    if one.std() == 0 or other.std() == 0:
        return float((one.std() == 0) == (other.std() == 0))
    return float(np.corrcoef(one, other)[0, 1])


def changed_positions(loaded: LoadedModel, batch: EncodedBatch, tiny: TinyModel) -> list[list[int]]:
    """Keys whose states depend on the pictures' pixels, per batch row."""
    before = image_states(loaded, batch.inputs)
    pixels = batch.inputs["pixel_values"]
    noise = torch.rand_like(pixels)
    if tiny.drops_empty_tiles:
        noise *= (pixels != 0).flatten(-3).any(dim=-1)[..., None, None, None]
    after = image_states(loaded, {**batch.inputs, "pixel_values": pixels + noise})
    return [torch.nonzero(row).flatten().tolist() for row in (before != after).any(dim=-1)]
