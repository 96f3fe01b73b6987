"""What a scoring run says on the terminal."""

from collections.abc import Mapping

import numpy as np

from headimpact.scoring.head_scores import HeadScores


def describe_scores(scores: HeadScores) -> list[str]:
    """Say what a run found, for the terminal."""
    heads, layers = scores.values, scores.layer_values
    if np.isnan(heads[scores.score]).all():
        return [f"pictures: {scores.counts['used']} used", "no head sees an image token: nothing can be selected"]
    best = np.unravel_index(int(np.nanargmax(heads[scores.score])), heads[scores.score].shape)
    significant = int(np.nansum(heads["q"] <= 0.05))
    skipped = ", ".join(f"{count} {reason}" for reason, count in scores.counts["skipped"].items()) or "none"
    return [
        f"pictures: {scores.counts['used']} used, skipped: {skipped}",
        f"best head: layer {best[0]}, head {best[1]}: {heads[scores.score][best]:.3f}, "
        f"chance {heads['null_mean'][best]:.3f}, gap {heads['gap'][best]:+.3f} "
        f"[{heads['gap_low'][best]:+.3f}, {heads['gap_high'][best]:+.3f}]",
        f"heads above chance (q <= 0.05): {significant} of {heads['q'].size}",
        *(f"{name}: {value:.3f}" for name, value in scores.baselines.items()),
        "layer  score  chance     gap       q",
        *(
            f"{layer:>5}  {layers[scores.score][layer]:.3f}   {layers['null_mean'][layer]:.3f}  "
            f"{layers['gap'][layer]:+.3f}  {layers['q'][layer]:.4f}"
            for layer in range(len(layers["q"]))
        ),
        *(f"warning: {warning}" for warning in scores.warnings),
        f"layers by score: {' '.join(map(str, rank_layers(scores)))}",
        *(f"layers by {name}: {' '.join(map(str, layers))}" for name, layers in rank_layers_by_others(scores).items()),
    ]


def rank_layers(scores: HeadScores) -> list[int]:
    """List layers from the highest score to the lowest, those without one left out."""
    values: Mapping[str, np.ndarray] = scores.layer_values
    order = np.argsort(-values[scores.score], kind="stable")
    return [int(layer) for layer in order if not np.isnan(values[scores.score][layer])]


def rank_layers_by_others(scores: HeadScores) -> dict[str, list[int]]:
    """List layers in the same way by each further score of the run."""
    return {name: rank_layers(other) for name, other in scores.others.items()}
