"""How many parameters LoRA on chosen layers trains, from an architecture block alone: no torch, no model."""

import dataclasses
from collections.abc import Sequence

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.registry import unknown_name_message


@dataclasses.dataclass(frozen=True)
class TrainableCount:
    """Trained parameters beside all parameters of the base model.

    Attributes:
        trainable: Parameters that the optimiser changes.
        total: Parameters of the base model, the adapter's own not among them.
    """

    trainable: int
    total: int

    @property
    def share(self) -> float:
        """Give trained parameters as a share of the base model's, in [0, 1]."""
        return self.trainable / self.total

    def __str__(self) -> str:
        """Write count and share as the terminal shows them.

        Example:
            >>> str(TrainableCount(204_800, 3_754_622_976))
            '204,800 of 3,754,622,976 parameters (0.0055 %)'
        """
        return f"{self.trainable:,} of {self.total:,} parameters ({100 * self.share:.2g} %)"


def count_lora_parameters(
    architecture: ArchitectureSummary, layers: Sequence[int], *, r: int, target_modules: Sequence[str]
) -> TrainableCount:
    """Count what LoRA of rank `r` on some projections of some layers trains.

    A projection of `inputs` x `outputs` gets A (r x inputs) and B (outputs x r), so r (inputs + outputs)
    parameters. Grouped key/value heads make k and v narrower than q; layers may differ. Plain LoRA is counted:
    an option that adds parameters (DoRA's magnitudes) shows in the count of the attached model.

    Args:
        architecture: Sizes of the model's language part.
        layers: Layers of the language model, 0-based.
        r: Rank, at least 1.
        target_modules: Projections per layer, as in `architecture.projections`.

    Returns:
        The count and the model's total.

    Raises:
        OptionError: If `r` is below 1, or no layer or no projection is given, or one is given twice, or a layer
            lies outside the model.
        UnknownNameError: If the model has no such projection.

    Source:
        LoRA, Hu et al. 2021 (arXiv 2106.09685), 4.2.

    Example:
        >>> architecture = ArchitectureSummary(
        ...     model_type="qwen2_5_vl", num_layers=36, num_heads=16, num_key_value_heads=2, head_dim=128,
        ...     hidden_size=2048, projections={"q_proj": (2048, 2048), "v_proj": (2048, 256)},
        ...     attention_path="model.language_model.layers.{layer_idx}.self_attn", total_parameters=3_754_622_976)
        >>> count_lora_parameters(architecture, [12, 14, 15, 17], r=8, target_modules=["q_proj", "v_proj"]).trainable
        204800
    """
    check_lora_targets(architecture, layers, r=r, target_modules=target_modules)
    widths = sum(sum(architecture.projections_of(layer)[name]) for layer in layers for name in target_modules)
    return TrainableCount(trainable=r * widths, total=architecture.total_parameters)


def check_lora_targets(
    architecture: ArchitectureSummary, layers: Sequence[int], *, r: int, target_modules: Sequence[str]
) -> None:
    """Refuse ranks, layers and projections that the model does not have.

    Args:
        architecture: Sizes of the model's language part.
        layers: Layers of the language model, 0-based.
        r: Rank, at least 1.
        target_modules: Projections per layer.

    Raises:
        OptionError: If `r` is below 1, or no layer or no projection is given, or one is given twice, or a layer
            lies outside the model or lacks a projection that others have.
        UnknownNameError: If the model has no such projection.
    """
    if isinstance(r, bool) or not isinstance(r, int) or r < 1:
        raise OptionError(f"LoRA rank r must be a whole number of at least 1: got {r!r}. Pass --r 8, for example.")
    if not layers:
        raise OptionError("Nothing to tune: the selection holds no layer; expected at least one. Select with --k 1 up.")
    if not target_modules:
        raise OptionError(
            "Nothing to tune: target_modules is empty; expected some of "
            f"{', '.join(architecture.projections)}. Pass --target-modules q_proj v_proj, for example."
        )
    for kind, given in (("layer", layers), ("target module", target_modules)):
        repeated = sorted({str(one) for one in given if list(given).count(one) > 1})
        if repeated:
            raise OptionError(f"A {kind} is named twice: {', '.join(repeated)}; expected each once.")
    outside = [layer_idx for layer_idx in layers if not 0 <= layer_idx < architecture.num_layers]
    if outside:
        raise OptionError(
            f"Layer {outside[0]} is not in the model: its language model has {architecture.num_layers} layers, "
            f"0 to {architecture.num_layers - 1}. Was the selection made from another model's scores?"
        )
    for name in target_modules:
        if name not in architecture.projections:
            raise UnknownNameError(unknown_name_message("target module", name, architecture.projections))
        lacking = [layer_idx for layer_idx in layers if name not in architecture.projections_of(layer_idx)]
        if lacking:
            raise OptionError(
                f"Layer {lacking[0]} has no {name}: it takes over another's keys or values; expected some of "
                f"{', '.join(architecture.projections_of(lacking[0]))}. Pass --target-modules q_proj or other layers."
            )
