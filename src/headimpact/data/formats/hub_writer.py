"""Write a data set in the hub's formats: Parquet with the pictures inside, or an imagefolder with one folder a split.

Nothing is decoded twice and nothing but a few rows is kept in memory. Pictures go in as the files they are, masks as
grey PNGs in the frame in which they were stored; the masks of a turned picture carry its EXIF orientation, so that
whoever turns the picture turns them alike.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.extras import require_extra
from headimpact.core.registry import Registry
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats.hub_card import check_split_name, copy_companions, write_card
from headimpact.data.formats.hub_columns import hub_features, sample_row
from headimpact.data.formats.jsonl import INFO_FILE, METADATA_FILE
from headimpact.data.formats.jsonl_writer import mask_file, write_samples
from headimpact.data.masks import mask_share
from headimpact.data.pictures import unturn_mask
from headimpact.data.sample import Sample

HUB_FORMATS = Registry(
    "hub format",
    {
        "parquet": "headimpact.data.formats.hub_writer:write_parquet",
        "imagefolder": "headimpact.data.formats.hub_writer:write_imagefolder",
    },
)
"""Format to its writer: a function from the data set and an empty folder."""

ROW_GROUP_BYTES = 64 * 2**20
"""Bytes of pictures and masks after which rows are written out: what a reader has to load at once."""

FILE_BYTES = 500 * 2**20
"""Bytes after which a new file begins, as `datasets` does it."""

NO_SPLIT = "unsplit"
"""Split on the hub of pictures that have none where others have one."""


def write_parquet(dataset: KeyObjectDataset, folder: Path) -> None:
    """Write Parquet files of each split, with the columns of `hub_columns` and a card that names them.

    Args:
        dataset: What to write.
        folder: Empty folder.

    Raises:
        DataFormatError: If a file cannot be read any more, or a split cannot be named on the hub.
        MissingExtraError: If `datasets` is not installed.
    """
    schema = hub_features(as_files=False).arrow_schema
    data_files: dict[str, list[str]] = {}
    (folder / "data").mkdir()
    for split, samples in by_split(dataset).items():
        _SplitFiles(folder / "data", split, schema).write(samples)
        data_files[split] = [f"data/{split}-*.parquet"]
    _finish(dataset, folder, data_files)


def write_imagefolder(dataset: KeyObjectDataset, folder: Path) -> None:
    """Write a folder of each split with pictures, masks and their list, and a card that names them.

    The list is Parquet: `datasets` takes the kind of each column from the list's first lines, and refuses splits that
    differ in it because a field is empty in one of them.

    Args:
        dataset: What to write.
        folder: Empty folder.

    Raises:
        DataFormatError: If a mask cannot be read any more, or a split cannot be named on the hub.
        MissingExtraError: If `datasets` is not installed.
    """
    parquet, arrow = (require_extra(name, extra="hub", purpose="Parquet") for name in ("pyarrow.parquet", "pyarrow"))
    schema = hub_features(as_files=True).arrow_schema.remove_metadata()
    data_files: dict[str, list[str]] = {}
    for split, samples in by_split(dataset).items():
        lines = write_samples(samples, folder / split)
        rows = [_file_row(sample, line) for sample, line in zip(samples, lines, strict=True)]
        listed = (folder / split / METADATA_FILE).with_suffix(".parquet")
        parquet.write_table(arrow.Table.from_pylist(rows, schema=schema), listed)
        data_files[split] = [f"{split}/**"]
    _finish(dataset, folder, data_files)


def by_split(dataset: KeyObjectDataset) -> Mapping[str, Sequence[Sample]]:
    """Give the samples of each split, in order of appearance; where nothing is split, all are `train`.

    Raises:
        DataFormatError: If a split cannot be named on the hub.
    """
    without = NO_SPLIT if dataset.split_names else "train"
    grouped: dict[str, list[Sample]] = {}
    for sample in dataset:
        grouped.setdefault(check_split_name(sample.split or without), []).append(sample)
    return grouped


class _SplitFiles:
    """The Parquet files of one split; named last, since their number is part of the name."""

    def __init__(self, folder: Path, split: str, schema: Any) -> None:
        """Begin with the first file."""
        self._folder, self._split, self._schema = folder, split, schema
        self._paths: list[Path] = []

    def write(self, samples: Sequence[Sample]) -> None:
        """Write all rows."""
        parquet, arrow = (
            require_extra(name, extra="hub", purpose="Parquet") for name in ("pyarrow.parquet", "pyarrow")
        )
        writer, written = None, 0
        for rows, size in _row_groups(samples):
            if writer is None or written > FILE_BYTES:
                if writer is not None:
                    writer.close()
                self._paths.append(self._folder / f"{self._split}-{len(self._paths):05d}.parquet")
                writer, written = parquet.ParquetWriter(self._paths[-1], self._schema), 0
            writer.write_table(arrow.Table.from_pylist(rows, schema=self._schema))
            written += size
        if writer is not None:
            writer.close()
        for path in self._paths:
            path.rename(path.with_name(f"{path.stem}-of-{len(self._paths):05d}.parquet"))


def _row_groups(samples: Sequence[Sample]) -> Iterator[tuple[list[dict[str, Any]], int]]:
    """Gather rows until they are large enough to be written.

    Yields:
        Rows, and the bytes of their pictures and masks.
    """
    rows: list[dict[str, Any]] = []
    size = 0
    for sample in samples:
        row = _value_row(sample)
        rows.append(row)
        size += len(row["image"]["bytes"]) + len(row["mask"]["bytes"])
        if size > ROW_GROUP_BYTES:
            yield rows, size
            rows, size = [], 0
    if rows:
        yield rows, size


def _value_row(sample: Sample) -> dict[str, Any]:
    """Write a sample with its picture and masks inside."""
    masks = [one.mask.decode() for one in sample.key_objects]
    union = masks[0] if len(masks) == 1 else unturn_mask(sample.load_mask(), sample.orientation)
    image = {"bytes": sample.image_path.read_bytes(), "path": sample.image_path.name}
    values = [_mask_value(mask, sample) for mask in masks]
    return sample_row(
        sample,
        image=image,
        union=_mask_value(union, sample),
        masks=values,
        area_share=mask_share(union),
        as_files=False,
    )


def _mask_value(mask: np.ndarray, sample: Sample) -> dict[str, Any]:
    """Write a mask as the bytes of a PNG."""
    return {"bytes": mask_file(mask, sample), "path": None}


def _file_row(sample: Sample, line: Mapping[str, Any]) -> dict[str, Any]:
    """Write a sample whose picture and masks are files, named as in its line."""
    masks = [one["mask_file_name"] for one in line.get("key_objects", [line])]
    return sample_row(
        sample,
        image=line["file_name"],
        union=line["mask_file_name"],
        masks=masks,
        area_share=line["area_share"],
        as_files=True,
    )


def _finish(dataset: KeyObjectDataset, folder: Path, data_files: Mapping[str, Sequence[str]]) -> None:
    """Write what the folder says of itself."""
    if dataset.info:
        (folder / INFO_FILE).write_text(json.dumps(dict(dataset.info), indent=1) + "\n", encoding="utf-8")
    counts = ", ".join(f"{len(samples)} {split}" for split, samples in by_split(dataset).items())
    lines = ["# Pictures with masks of their key objects", f"{len(dataset)} pictures ({counts})."]
    write_card(folder, data_files=data_files, lines=lines, source=dataset.root)
    copy_companions(dataset.root, folder)
