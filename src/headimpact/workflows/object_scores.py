"""A phrase against its own mask: rows of words that name one of several key objects, held against each object alone."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headimpact.data.masks import unite_masks
from headimpact.data.sample import Sample
from headimpact.data.word_kinds import OBJECT_KINDS
from headimpact.models.patch_grid import mask_coverage
from headimpact.workflows.captured_samples import CapturedSample
from headimpact.workflows.token_places import TokenPlaces
from headimpact.workflows.word_rows import object_row


def measure_objects(
    sample: Sample,
    captured: CapturedSample,
    kernel: Callable[..., Tensor],
    lent: Float[Tensor, "donors image_tokens"],
    tokens: TokenPlaces,
) -> dict[str, Float[Tensor, "masks layers heads"]]:
    """Hold the words that name a key object against its own mask, and against the other key objects'.

    Both are of the same rows and the same picture, so what tells them apart is the object that is named, and neither
    the picture nor the words. An object counts where both say something; those of a picture are averaged.

    Args:
        sample: The picture.
        captured: What the words that name each object look at.
        kernel: A score of maps and masks.
        lent: Other pictures' masks on the tokens.
        tokens: Where the tokens are.

    Returns:
        For each of `OBJECT_KINDS` the score, then those against the other pictures' masks, which both have in common;
        NaN where no object can be told apart by its name.
    """
    named = [number for number in range(len(sample.key_objects)) if object_row(number) in captured.by_words]
    shape = captured.maps.shape[:2]
    if not named:
        nothing = captured.maps.new_full((1 + len(lent), *shape), torch.nan)
        return dict.fromkeys(OBJECT_KINDS, nothing)
    masks = [sample.upright_mask(item.mask) for item in sample.key_objects]
    others = [unite_masks([*masks[:number], *masks[number + 1 :]]) for number in named]
    own = mask_coverage(np.stack([*(masks[number] for number in named), *others]), captured.layout.boxes)
    maps = torch.cat([captured.by_words[object_row(number)] for number in named])
    coverage = torch.cat([torch.from_numpy(own).to(lent), lent])
    values = kernel(maps, coverage, tokens.areas, views=tokens.views).reshape(-1, len(named), *shape)
    place = torch.arange(len(named))
    pair = torch.stack([values[place, place], values[len(named) + place, place]])
    pair = torch.where(pair.isnan().any(dim=0), torch.nan, pair).nanmean(dim=1)
    spent = values[2 * len(named) :].nanmean(dim=1)
    return {kind: torch.cat([found[None], spent]) for kind, found in zip(OBJECT_KINDS, pair, strict=True)}
