"""Lines made by hours of work, written block by block, so that a stopped run goes on where it was.

Every block is one file, written whole or not at all; the last step joins them in order. Stopped at any moment and
resumed, the joined file has the same bytes as without the stop.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headimpact.core.artifacts import atomic_file, read_json, write_json
from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from headimpact.core.provenance import hash_texts

PLAN_SCHEMA = "line_plan/1"
Line = dict[str, Any]


class LineParts:
    """The blocks of one kind of line: `NAME/part-00000.jsonl` and so on, then `NAME.jsonl`.

    Making one starts or resumes the work in its folder. What the lines depend on stays in `NAME.plan.json`.
    """

    def __init__(
        self, folder: Path, name: str, blocks: Sequence[Sequence[str]], *, identity: Mapping[str, Any]
    ) -> None:
        """Start the work, or find what an earlier start has left.

        Args:
            folder: Run folder.
            name: Name of the lines.
            blocks: Ids of each block's pictures; a line has one of them as its `image_id`.
            identity: JSON-serialisable facts on which the lines depend.

        Raises:
            IncompatibleRunsError: If the work was started for other pictures or facts; the message names the field.
            DataFormatError: If the plan cannot be read.
            RunFailedError: If the file system refuses.
        """
        self._parts, self._joined = folder / name, folder / f"{name}.jsonl"
        self._blocks = [list(block) for block in blocks]
        self._claim(folder / f"{name}.plan.json", identity)

    def missing(self) -> tuple[int, ...]:
        """List the blocks that are still to be made, in order."""
        if self._joined.is_file():
            return ()
        return tuple(index for index in range(len(self._blocks)) if not self._part(index).is_file())

    def write(self, index: int, lines: Sequence[Line]) -> None:
        """Write one block.

        Args:
            index: Which block, 0-based.
            lines: A line for each of its pictures, in order.

        Raises:
            RunFailedError: If the file system refuses.
        """
        text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
        with atomic_file(self._part(index)) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def join(self) -> dict[str, Line]:
        """Join the blocks into one file, remove them, and give all lines.

        Returns:
            Id of a picture to its line.

        Raises:
            DataFormatError: If a block is missing, or the file is broken or for other pictures.
            RunFailedError: If the file system refuses.
        """
        if not self._joined.is_file():
            if self.missing():
                raise DataFormatError(f"Cannot join {self._parts}: blocks are missing. Run again with --resume.")
            with atomic_file(self._joined) as temporary, temporary.open("wb") as file:
                for index in range(len(self._blocks)):
                    file.write(self._part(index).read_bytes())
        shutil.rmtree(self._parts, ignore_errors=True)
        expected = [image_id for block in self._blocks for image_id in block]
        try:
            lines = [json.loads(line) for line in self._joined.read_text(encoding="utf-8").split("\n") if line]
            found = {line["image_id"]: line for line in lines}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataFormatError(f"Cannot read {self._joined}: {error!r}. Run again with --overwrite.") from error
        if list(found) != expected:
            raise DataFormatError(f"{self._joined} is for other pictures. Choose another --out, or pass --overwrite.")
        return found

    def _claim(self, path: Path, identity: Mapping[str, Any]) -> None:
        """Write the plan, or check it against the one that is there.

        Raises:
            IncompatibleRunsError: If a field differs.
        """
        pictures = hash_texts(image_id for block in self._blocks for image_id in (*block, ""))
        plan = {**identity, "pictures": pictures}
        if not path.is_file():
            write_json(path, plan, schema=PLAN_SCHEMA)
            return
        earlier = read_json(path, schema=PLAN_SCHEMA)
        for name, value in plan.items():
            if earlier.get(name) != value:
                raise IncompatibleRunsError(
                    f"Cannot resume {path.parent}: {name} was {earlier.get(name)!r:.60} when the run began and "
                    f"is {value!r:.60} now. Give the same pictures and options, or another --out."
                )

    def _part(self, index: int) -> Path:
        """Name one block's file."""
        return self._parts / f"part-{index:05d}.jsonl"
