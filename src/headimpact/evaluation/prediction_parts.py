"""Predictions written block by block, so that a stopped run goes on where it was. No torch.

Every block is one file, written whole or not at all; the last step joins them in order. Stopped at any moment
and resumed, the joined file has the same bytes as without the stop.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headimpact.core.artifacts import read_json, write_json
from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from headimpact.core.provenance import hash_texts
from headimpact.evaluation.requests import ResponseRequest
from headimpact.evaluation.results import PREDICTIONS_FILE, Prediction, read_predictions, write_predictions

PLAN_SCHEMA = "prediction_plan/1"
_FOLDER = "predictions"


class PredictionParts:
    """The blocks of one run's predictions: `predictions/part-00000.jsonl` and so on.

    Making one starts or resumes the run in its folder.
    """

    def __init__(
        self, folder: Path, blocks: Sequence[Sequence[ResponseRequest]], *, options: Mapping[str, Any]
    ) -> None:
        """Start a run, or find what an earlier start has left.

        Args:
            folder: Run folder.
            blocks: What `split_blocks` gave.
            options: JSON-serialisable options that change a response: model, adapter, generation options.

        Raises:
            IncompatibleRunsError: If the folder was started for other pictures or options; the message names
                the field.
            DataFormatError: If the folder's plan cannot be read.
            RunFailedError: If the file system refuses.
        """
        self._folder = folder
        self._blocks = tuple(tuple(block) for block in blocks)
        self._plan = {
            "blocks": [len(block) for block in self._blocks],
            "requests_hash": hash_texts(_texts(self._blocks)),
            "options": dict(options),
        }
        if not self.is_merged:
            self._claim()

    @property
    def is_merged(self) -> bool:
        """Whether `predictions.jsonl` is there already."""
        return (self._folder / PREDICTIONS_FILE).is_file()

    def missing(self) -> tuple[int, ...]:
        """List the blocks that are still to be generated, in order."""
        if self.is_merged:
            return ()
        return tuple(index for index in range(len(self._blocks)) if not self._part(index).is_file())

    def write(self, index: int, predictions: Sequence[Prediction]) -> None:
        """Write one block.

        Args:
            index: Which block, 0-based.
            predictions: Its predictions, in the order of the block's requests.

        Raises:
            DataFormatError: If the predictions are not those of the block.
            RunFailedError: If the file system refuses.
        """
        expected = [request.key for request in self._blocks[index]]
        found = [prediction.key for prediction in predictions]
        if found != expected:
            raise DataFormatError(
                f"Block {index} got predictions for {found[:3]}… ({len(found)}); expected {expected[:3]}… "
                f"({len(expected)}), in this order."
            )
        write_predictions(self._part(index), predictions)

    def merge(self) -> tuple[Prediction, ...]:
        """Join the blocks into `predictions.jsonl`, remove them, and give all predictions.

        Raises:
            DataFormatError: If a block is missing or broken, or if an earlier `predictions.jsonl` is for
                other pictures.
            RunFailedError: If the file system refuses.
        """
        target = self._folder / PREDICTIONS_FILE
        if not self.is_merged:
            if self.missing():
                raise DataFormatError(
                    f"Cannot join the predictions in {self._folder}: {len(self.missing())} of {len(self._blocks)} "
                    "blocks are missing. Run again with --resume."
                )
            parts = [read_predictions(self._part(index)) for index in range(len(self._blocks))]
            write_predictions(target, [prediction for part in parts for prediction in part])
        shutil.rmtree(self._folder / _FOLDER, ignore_errors=True)
        predictions = read_predictions(target)
        if [p.key for p in predictions] != [request.key for block in self._blocks for request in block]:
            raise DataFormatError(
                f"{target} holds predictions for other pictures than asked for. "
                "Choose another --out, or pass --overwrite."
            )
        return predictions

    def _claim(self) -> None:
        """Write the plan, or check it against the one that is there.

        Raises:
            IncompatibleRunsError: If a field differs.
        """
        path = self._folder / _FOLDER / "plan.json"
        if not path.is_file():
            write_json(path, self._plan, schema=PLAN_SCHEMA)
            return
        earlier = read_json(path, schema=PLAN_SCHEMA)
        for field, value in _flat(self._plan).items():
            then = _flat(earlier).get(field)
            if then != value:
                raise IncompatibleRunsError(
                    f"Cannot resume {self._folder}: {field} was {then!r:.60} when the run began and is {value!r:.60} "
                    "now. Give the same data and options, or another --out."
                )

    def _part(self, index: int) -> Path:
        """Name one block's file."""
        return self._folder / _FOLDER / f"part-{index:05d}.jsonl"


def _flat(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Lay options beside the other fields, so that a message can name one."""
    return {**{name: plan.get(name) for name in ("blocks", "requests_hash")}, **plan.get("options", {})}


def _texts(blocks: Sequence[Sequence[ResponseRequest]]) -> list[str]:
    """List everything that a prediction's bytes depend on besides the picture."""
    return [
        text
        for block in blocks
        for request in block
        for text in (
            *request.key,
            request.prompt,
            *request.references,
            "",
            *request.names,
            "",
            *(request.objects or ()),
        )
    ]
