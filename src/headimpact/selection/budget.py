"""How many layers: a number, a parameter budget, or a seventh of the model."""

import dataclasses
import math
import re
from fractions import Fraction

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import OptionError
from headimpact.core.lora_arithmetic import check_lora_targets, count_lora_parameters


@dataclasses.dataclass(frozen=True)
class FilledBudget:
    """What fits into a budget.

    Attributes:
        k: Number of layers.
        r: LoRA rank; the one asked for, or the highest at which one layer fits.
        notes: What was done otherwise than asked.
    """

    k: int
    r: int
    notes: tuple[str, ...] = ()


def default_layer_count(num_layers: int) -> int:
    """Give a seventh of the layers, rounded, at least one.

    Source: the paper's digests name the top 4 layers, on models of 26 to 36 layers; scores page.

    Example:
        >>> [default_layer_count(layers) for layers in (28, 12, 36, 2)]
        [4, 2, 5, 1]
    """
    return max(1, math.floor(num_layers / 7 + 0.5))


def parse_budget(budget: str, *, total_parameters: int) -> int:
    """Turn a budget into a number of parameters.

    Args:
        budget: A share of the model's parameters in percent (`0.01%`), or a number of parameters (`204800`).
        total_parameters: Parameters of the whole model.

    Returns:
        Trainable parameters that may not be exceeded.

    Raises:
        OptionError: If the text is neither, or a share is not in (0, 100] percent.

    Example:
        >>> parse_budget("0.01%", total_parameters=3_754_622_976), parse_budget("204,800", total_parameters=1)
        (375462, 204800)
    """
    percent = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*", budget)
    count = re.fullmatch(r"\s*(\d[\d,_]*)\s*", budget)
    if percent and 0 < Fraction(percent[1]) <= 100:
        return math.floor(Fraction(percent[1]) / 100 * total_parameters)
    if count:
        return int(re.sub(r"[,_]", "", count[1]))
    raise OptionError(
        f"Cannot read the budget {budget!r}. Expected a share of the model's parameters with a percent sign, such as "
        "0.01%, or a whole number of parameters, such as 204800."
    )


def fill_budget(
    budget: str, architecture: ArchitectureSummary, *, r: int, target_modules: tuple[str, ...]
) -> FilledBudget:
    """Find how many layers fit below a budget.

    Every layer of one model costs the same, so layers are added until the next would exceed the budget. Where
    not even one fits at rank r, the rank is lowered to the highest at which one does.

    Args:
        budget: As for `parse_budget`.
        architecture: The model's language part.
        r: LoRA rank.
        target_modules: Projections adapted in each layer.

    Returns:
        Layers and rank; k may exceed the layers that the model has.

    Raises:
        OptionError: If the budget cannot be read, or is below one layer at r = 1; the message names the smallest
            possible one.
        UnknownNameError: If the model has no such projection.
    """
    check_lora_targets(architecture, [0], r=r, target_modules=target_modules)
    allowed = parse_budget(budget, total_parameters=architecture.total_parameters)
    smallest = count_lora_parameters(architecture, [0], r=1, target_modules=target_modules)
    if allowed < smallest.trainable:
        raise OptionError(
            f"Budget too small: {budget} is {allowed:,} parameters, one layer at r = 1 on "
            f"{', '.join(target_modules)} takes {smallest.trainable:,}. The smallest possible budget is "
            f"{smallest.trainable} ({_percent_above(smallest.share)}%)."
        )
    fitting = allowed // smallest.trainable
    if fitting >= r:
        return FilledBudget(k=fitting // r, r=r)
    note = f"The budget {budget} does not hold one layer at r = {r}; r was lowered to {fitting}."
    return FilledBudget(k=1, r=fitting, notes=(note,))


def _percent_above(share: float) -> str:
    """Write a share in percent with two digits, rounded up so that it suffices."""
    digits = 1 - math.floor(math.log10(share * 100))
    return f"{math.ceil(share * 100 * 10**digits * (1 - 1e-12)) / 10**digits:.{max(digits, 0)}f}"
