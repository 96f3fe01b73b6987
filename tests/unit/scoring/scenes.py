"""Attention maps and masks with all that confounds them: object size, centre bias, and heads that share noise."""

import numpy as np
import torch

from headimpact.scoring.head_impact import head_impact


def population(count, *, heads=6, side=8, seed=0):
    """Make maps `[count, 1, heads, tokens]` and masks `[count, tokens]`, both drawn to the centre."""
    generator = np.random.default_rng(seed)
    rows, columns = (np.mgrid[0:side, 0:side] + 0.5) / side
    maps = np.zeros((count, 1, heads, side * side), dtype=np.float32)
    masks = np.zeros((count, side * side), dtype=np.float32)
    for place in range(count):
        x, y = np.clip(generator.normal(0.5, 0.2, 2), 0.1, 0.9)
        radius = min(0.4, np.exp(generator.normal(-1.9, 0.5)))
        distance = (columns - x) ** 2 + (rows - y) ** 2
        masks[place] = ((distance < radius**2) | (distance == distance.min())).ravel()
        shared = generator.normal(size=(side, side))
        for head in range(heads):
            centre = np.exp(-4 * (head % 3) * ((columns - 0.5) ** 2 + (rows - 0.5) ** 2))
            maps[place, 0, head] = (centre + 0.7 * shared + 0.7 * generator.normal(size=(side, side))).ravel()
    return torch.from_numpy(maps), torch.from_numpy(masks)


def score_all(maps, masks, score=head_impact):
    """Score every map against every mask, `[maps, masks, heads]`."""
    areas = torch.ones(masks.shape[1])
    return np.stack([score(one, masks, areas)[:, 0].numpy() for one in maps])


def binomial_interval(count, probability, *, level):
    """Give the smallest and largest number of hits that are not surprising."""
    logs = np.array([np.log(probability) * k + np.log1p(-probability) * (count - k) for k in range(count + 1)])
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    chances = np.exp(logs + factorials[-1] - factorials - factorials[::-1])
    below = np.cumsum(chances)
    tail = (1 - level) / 2
    return int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1 - tail))
