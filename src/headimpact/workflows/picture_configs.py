"""Configs of the commands that make a data set from one's own pictures and bring it to and from the hub's formats.

As in `configs`: values are plain, and nothing here imports torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from headimpact.workflows.configs import OptionalPath, OptionalText, OutputOptions


@dataclass(frozen=True, kw_only=True)
class BuildPicturesConfig(OutputOptions):
    """Make a data set from a folder of one's own pictures, with masks and captions by people or by models."""

    images: Path
    """Folder of pictures; folders in it are read too."""
    captions: OptionalPath = None
    """JSONL or CSV file with file_name and captions."""
    masks: OptionalPath = None
    """Folder of mask PNGs or LabelMe files; a COCO .json, a CVAT .xml, a .csv or .jsonl of boxes."""
    masks_format: str = "auto"
    """png, coco, labelme, cvat or boxes; by what is there if left out."""
    category: OptionalText = None
    """Word for the object of every mask PNG that has none of its own."""
    key_objects: str = "rule"
    """Which of several objects are key: by the `rule` for COCO, the `largest` that a caption names, or `all`."""
    skip_bad: bool = False
    """Leave pictures with a fault of their own out, counted, instead of refusing the folder."""
    describer: OptionalText = None
    """Vision-language model that describes pictures without a caption: a folder or a hub id."""
    describer_revision: OptionalText = None
    """Branch, tag or commit of the describer."""
    describe_prompt: OptionalText = None
    """What the describer is asked; for one sentence that names the main objects, if left out."""
    max_new_tokens: int = 64
    """Longest description."""
    detector: OptionalText = None
    """Grounding DINO that finds the captions' phrases in pictures without a mask: a folder or a hub id."""
    detector_revision: OptionalText = None
    """Branch, tag or commit of the detector."""
    segmenter: OptionalText = None
    """SAM 2 that makes the masks of what the detector finds: a folder or a hub id."""
    segmenter_revision: OptionalText = None
    """Branch, tag or commit of the segmenter."""
    text_segmenter: OptionalText = None
    """SAM 3 that does the work of both; needs torchvision."""
    text_segmenter_revision: OptionalText = None
    """Branch, tag or commit of the text segmenter."""
    box_threshold: float = 0.35
    """Least confidence of the detector in a box."""
    max_overlap: float = 0.8
    """Most overlap of two boxes of one phrase."""
    min_mask_confidence: float = 0.5
    """Least confidence of the segmenter in a mask."""
    threshold: float = 0.5
    """Least confidence of the text segmenter in an object."""
    device: str = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1` ..."""
    dtype: str = "auto"
    """`auto` (float32 on CPU, the checkpoint's on a GPU), `float32`, `bfloat16` or `float16`."""
    batch_size: int = 8
    """Pictures that go through a model together."""
    shard_size: int = 32
    """Pictures whose results are written together; a stopped run loses at most so many."""


@dataclass(frozen=True, kw_only=True)
class BuildHubConfig(OutputOptions):
    """Make a data folder of a data set in the hub's formats: Parquet, imagefolder, or an id of the hub."""

    source: Annotated[Positional[str], arg(metavar="SOURCE")]
    """Folder, or id of the hub (owner/name)."""
    revision: OptionalText = None
    """Branch, tag or commit on the hub."""
    image_column: OptionalText = None
    """Column of the picture; `image`, or the only one that holds pictures, if left out."""
    captions_column: OptionalText = None
    """Column of the captions; captions, caption, text or sentences if left out."""
    mask_column: OptionalText = None
    """Column of the mask; `mask` if left out."""
    category_column: OptionalText = None
    """Column of the word for the object under the mask; category or label if left out."""
    category: OptionalText = None
    """Word for the object under the mask where no column has one."""


@dataclass(frozen=True, kw_only=True)
class ExportConfig(OutputOptions):
    """Write a data folder in the hub's formats, for `datasets.load_dataset` and for publishing."""

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """COCO folder, or a folder with metadata.jsonl, pictures and mask PNGs."""
    images: OptionalPath = None
    """Folder of the pictures, where the data folder only refers to them."""
    format: str = "parquet"
    """`parquet`, pictures inside, or `imagefolder`, one folder a split."""
    skip_bad: bool = False
    """Leave unreadable pictures out, counted, instead of refusing the folder."""
