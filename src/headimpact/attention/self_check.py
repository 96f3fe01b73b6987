"""Proves on the user's own model and one sample that capturing changes nothing and captures what is there."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headimpact.attention.capture import capture_attention
from headimpact.attention.interception import EAGER, AttentionCall, observe_attention
from headimpact.attention.queries import response_rows
from headimpact.core.errors import RunFailedError
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import EncodedBatch

_logger = logging.getLogger(__name__)

_ROW_TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""Largest difference between captured rows and eager's own; eager rounds its weights to the model's dtype."""

_IMPLEMENTATION_TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.1}
"""Largest difference between two implementations, whose rounding adds up over the layers below."""


@dataclasses.dataclass(frozen=True)
class CaptureCheck:
    """What the self-check measured; all differences are the largest absolute ones.

    Attributes:
        implementation: Attention implementation of the model.
        dtype: Number format of its weights.
        output_difference: Hidden states with against without capture.
        repeat_difference: Hidden states of two runs without capture; above 0 only for kernels that do not
            repeat their own result.
        row_difference: Captured rows against the weights that eager returned in the same pass.
        implementation_difference: Rows captured under the model's implementation against eager's.
    """

    implementation: str
    dtype: str
    output_difference: float
    repeat_difference: float
    row_difference: float
    implementation_difference: float

    def __str__(self) -> str:
        """Give the figures on one line."""
        return (
            f"implementation {self.implementation}, {self.dtype}: outputs with and without capture differ by "
            f"{self.output_difference:.1e}, rows from eager's by {self.row_difference:.1e}, implementations by "
            f"{self.implementation_difference:.1e}"
        )


def check_capture(loaded: LoadedModel, batch: EncodedBatch) -> CaptureCheck:
    """Compare a forward pass with and without capture, and captured rows with eager attention weights.

    The vision tower keeps its implementation; only the language model is run once more in eager, where a
    whole layer's weights exist at a time. One short sample is enough.

    Args:
        loaded: The model to be scored.
        batch: One encoded sample with its response.

    Returns:
        The largest differences; also written to the log.

    Raises:
        RunFailedError: If the model's own outputs are not finite, capture changes them, or captured rows are not
            eager's.
        OptionError: If the batch has no response.
        UnsupportedModelError: If the model's attention cannot be captured.
    """
    modules = loaded.family.attention_modules(loaded.model)
    queries = response_rows(batch.response_spans)
    keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
    implementation = str(_configs(modules)[0]._attn_implementation)
    with torch.no_grad():
        plain, again = _hidden(loaded, batch), _hidden(loaded, batch)
        _check_finite(plain, loaded)
        with capture_attention(modules, queries=queries, keys=keys) as captured:
            watched = _hidden(loaded, batch)
        eager_rows: dict[int, list[Tensor]] = {}

        def keep(layer: int, call: AttentionCall) -> None:
            eager_rows[layer] = _rows_of(call.weights, queries, keys)

        capture = capture_attention(modules, queries=queries, keys=keys)
        with _run_in_eager(modules), observe_attention(modules, keep), capture as captured_in_eager:
            _hidden(loaded, batch)
    eager = [torch.stack([eager_rows[layer][row] for layer in sorted(modules)]) for row in range(len(queries))]
    check = CaptureCheck(
        implementation=implementation,
        dtype=loaded.dtype_name,
        output_difference=_largest([plain], [watched]),
        repeat_difference=_largest([plain], [again]),
        row_difference=_largest(captured_in_eager.maps, eager),
        implementation_difference=_largest(captured.maps, captured_in_eager.maps),
    )
    # Products of quantised weights round as coarsely as half precision, whatever the activations' format.
    _judge(check, loaded.dtype, between=torch.bfloat16 if loaded.quantization else loaded.dtype)
    _logger.info("Capture self-check passed: %s.", check)
    return check


def _check_finite(hidden: Tensor, loaded: LoadedModel) -> None:
    """Refuse a model that computes nothing, whether captured or not.

    Raises:
        RunFailedError: If its hidden states are not finite.
    """
    if not torch.isfinite(hidden).all():
        raise RunFailedError(
            f"The outputs of {loaded.name!r} are not finite in {loaded.dtype_name}, before anything is captured; "
            "expected numbers. Try another --dtype, and check that the checkpoint is whole and its weights are finite."
        )


def _judge(check: CaptureCheck, dtype: torch.dtype, *, between: torch.dtype) -> None:
    """Refuse a model whose capture changes something or captures something else.

    Rows are held to the rounding of their own format, implementations to that of what lies between them.

    Raises:
        RunFailedError: If a difference is above its tolerance.
    """
    rows = _ROW_TOLERANCE.get(dtype, 1e-5)
    implementations = _IMPLEMENTATION_TOLERANCE.get(between, 1e-4)
    faults = {
        "capture changes the model's outputs": check.output_difference <= check.repeat_difference,
        f"captured rows are not eager's (tolerance {rows:.0e})": check.row_difference <= rows,
        f"{check.implementation} and eager attend differently (tolerance {implementations:.0e})": (
            check.implementation_difference <= implementations
        ),
    }
    for fault, fine in faults.items():
        if not fine:
            raise RunFailedError(
                f"Capture self-check failed: {fault}; {check}. Scores would be wrong. Try --attn-implementation "
                "eager, and report the model and the versions."
            )


def _hidden(loaded: LoadedModel, batch: EncodedBatch) -> Tensor:
    """Run the model up to its last hidden states, without logits."""
    output = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False)
    hidden: Tensor = output.last_hidden_state
    return hidden


def _rows_of(weights: Tensor | None, queries: list[Tensor], keys: list[Tensor]) -> list[Tensor]:
    """Reduce eager's own weights to the wanted rows and keys, per batch row.

    Raises:
        RunFailedError: If eager returned no weights.
    """
    if weights is None:
        raise RunFailedError("Eager attention returned no weights, so capture cannot be checked against them.")
    return [
        weights[row][:, looking.to(weights.device)][:, :, looked_at.to(weights.device)].float().mean(dim=1)
        for row, (looking, looked_at) in enumerate(zip(queries, keys, strict=True))
    ]


@contextlib.contextmanager
def _run_in_eager(modules: Mapping[int, nn.Module]) -> Iterator[None]:
    """Let the modules' own configs name eager attention while the block runs."""
    before = [(config, config._attn_implementation) for config in _configs(modules)]
    try:
        for config, _ in before:
            config._attn_implementation = EAGER
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation = implementation


def _configs(modules: Mapping[int, Any]) -> list[Any]:
    """Give the modules' configs, each once."""
    return list({id(module.config): module.config for module in modules.values()}.values())


def _largest(first: list[Tensor], second: list[Tensor]) -> float:
    """Give the largest absolute difference between two lists of tensors."""
    pairs = zip(first, second, strict=True)
    return max(float((one.float() - other.float().to(one.device)).abs().max()) for one, other in pairs)
