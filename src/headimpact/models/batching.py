"""Runs a model over many rows in batches that fit the memory, and prepares the next batch meanwhile."""

import gc
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from accelerate.utils.memory import should_reduce_batch_size

from headimpact.core.errors import OptionError, RunFailedError

_LOG = logging.getLogger(__name__)

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


class BatchSize:
    """How many rows go through the model at once; halved, for good, whenever memory runs out."""

    def __init__(self, rows: int) -> None:
        """Begin with a size.

        Args:
            rows: Rows per batch.

        Raises:
            OptionError: If it is below 1.
        """
        if rows < 1:
            raise OptionError(f"--batch-size is {rows}; expected 1 or more.")
        self.rows = rows

    def halve(self, failed: int) -> None:
        """Take half of a batch that did not fit.

        Args:
            failed: Rows of that batch.

        Raises:
            RunFailedError: If it was a single row.
        """
        if failed == 1:
            raise RunFailedError(
                "Out of memory with a single row in the model. Use smaller pictures, --dtype bfloat16, or a larger "
                "device; a run that was stopped goes on with --resume."
            )
        self.rows = failed // 2
        _LOG.warning("Out of memory with %d rows at once; going on with %d.", failed, self.rows)


def run_in_batches(
    items: Sequence[Item],
    *,
    prepare: Callable[[Sequence[Item]], Prepared],
    run: Callable[[Prepared], list[Result]],
    size: BatchSize,
    overlap: bool = False,
) -> list[Result]:
    """Prepare and run batch after batch; one that does not fit is run again in halves, so nothing is lost.

    Args:
        items: What is to be run.
        prepare: Turns some items into model inputs.
        run: Runs prepared inputs, one result per item.
        size: Rows per batch; shrinks where memory runs out, and stays small for later calls.
        overlap: Prepare the next batch in a second thread while one runs. Worth it where the model has its own
            device; on a CPU both would want the same cores.

    Returns:
        One result per item, in order.

    Raises:
        RunFailedError: If a single row does not fit.
    """
    results: list[Result] = []
    ahead: Future[Prepared] | None = None
    with ThreadPoolExecutor(max_workers=1) as worker:
        while len(results) < len(items):
            start = len(results)
            batch = items[start : start + size.rows]
            prepared = prepare(batch) if ahead is None else ahead.result()
            following = items[start + len(batch) : start + len(batch) + size.rows]
            ahead = worker.submit(prepare, following) if overlap and following else None
            found = _run_unless_full(run, prepared)
            if found is None:
                size.halve(len(batch))
                if ahead is not None:
                    ahead.result()  # the next batch will be another one
                del prepared, ahead
                ahead = None
                _free_memory()
            else:
                results += found
    return results


def _run_unless_full(run: Callable[[Prepared], list[Result]], prepared: Prepared) -> list[Result] | None:
    """Run one batch; None where memory ran out, with nothing of the failed pass kept alive.

    Raises:
        RuntimeError: Whatever else goes wrong.
    """
    try:
        return run(prepared)
    except MemoryError:
        return None
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and not should_reduce_batch_size(error):
            raise
        return None


def _free_memory() -> None:
    """Give freed blocks back, so that a smaller batch finds room."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
