"""Plain-loop twins of the scores: one map against one mask, token by token, as the definitions read."""

import itertools
import math

from tests.unit.scoring.makers import plain_head_impact, plain_key_tokens


def on_key_tokens(score):
    """Give NaN where the mask says nothing, else the score of (attention, key tokens, places, areas)."""

    def scored(attention, coverage, areas):
        key = plain_key_tokens(coverage, areas)
        if key is None:
            return math.nan
        return score(attention, key, [j for j in range(len(areas)) if areas[j] > 0], areas)

    return scored


def attention_mass(attention, key, places, areas):
    return sum(attention[j] for j in key)


def energy_pointing(attention, key, places, areas):
    whole = sum(attention[j] for j in places)
    if whole == 0:
        return sum(areas[j] for j in key) / sum(areas[j] for j in places)
    return sum(attention[j] for j in key) / whole


def area_enrichment(attention, key, places, areas):
    share = sum(areas[j] for j in key) / sum(areas[j] for j in places)
    return energy_pointing(attention, key, places, areas) / share


def pointing_game(attention, key, places, areas):
    best = [j for j in places if attention[j] == max(attention[i] for i in places)]
    return sum(areas[j] for j in best if j in key) / sum(areas[j] for j in best)


def visual_score(peaks, key, places, areas):
    return sum(peaks[j] for j in key) / len(key)


def auroc(attention, key, places, areas):
    won = pairs = 0.0
    for j, other in itertools.product(key, [i for i in places if i not in key]):
        pairs += areas[j] * areas[other]
        if attention[j] >= attention[other]:
            won += areas[j] * areas[other] * (0.5 if attention[j] == attention[other] else 1.0)
    return won / pairs


def average_precision(attention, key, places, areas):
    size, total, recall = sum(areas[j] for j in key), 0.0, 0.0
    for level in sorted({attention[j] for j in places}, reverse=True):
        taken = [j for j in places if attention[j] >= level]
        hits = sum(areas[j] for j in taken if j in key)
        total += (hits / size - recall) * hits / sum(areas[j] for j in taken)
        recall = hits / size
    return total


MASKED = (attention_mass, energy_pointing, area_enrichment, pointing_game, visual_score, auroc, average_precision)
PLAIN = {
    "head_impact": plain_head_impact,
    **{score.__name__: on_key_tokens(score) for score in MASKED},
}


def pieces(region, rows, columns):
    """Sizes of the 8-connected pieces of a drawn region, by flood fill."""
    left, sizes = {place for place in itertools.product(range(rows), range(columns)) if region[place]}, []
    while left:
        open_, size = [left.pop()], 0
        while open_:
            row, column = open_.pop()
            size += 1
            around = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= around
            open_ += around
        sizes.append(size)
    return sizes


def map_entropy(attention):
    """Entropy of the sizes of a square map's pieces above its mean; NaN without one."""
    sizes = pieces(attention > attention.mean(), *attention.shape)
    return -sum(size / sum(sizes) * math.log(size / sum(sizes)) for size in sizes) if sizes else math.nan


def elbow(values):
    """The sorted value farthest from the straight line between the ends, by its perpendicular distance."""
    ordered = sorted(values)
    run, rise = len(ordered) - 1, ordered[-1] - ordered[0]
    if not run:
        return ordered[0]
    return max(ordered, key=lambda value: abs(rise * ordered.index(value) - run * (value - ordered[0])))
