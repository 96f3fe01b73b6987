"""What tuning made a model forget: its loss on plain text, before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headimpact.core.provenance import hash_texts
from headimpact.evaluation.forgetting import measure_forgetting
from headimpact.workflows.configs import EvaluateConfig

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel


def write_forgetting(loaded: "LoadedModel", passages: Sequence[str], *, config: EvaluateConfig) -> str | None:
    """Measure the loss on plain text before and after the tuning, and write it to the run's folder.

    Args:
        loaded: The model, its adapter on it if there is one.
        passages: The text; nothing is done without any.
        config: Options; `out` is the run's folder.

    Returns:
        What was found, in words.

    Raises:
        DataFormatError: If a passage is too long or too short.
        RunFailedError: If the file system refuses.
    """
    if not passages:
        return None
    from headimpact.evaluation.text_loss import text_losses

    tuned = loaded.adapter is not None
    before = text_losses(loaded, passages, batch_size=config.batch_size, without_adapter=tuned)
    after = text_losses(loaded, passages, batch_size=config.batch_size) if tuned else None
    found = measure_forgetting(before, after, seed=config.seed)
    found.write(config.out, text_hash=hash_texts(passages))
    return found.line()
