"""Configs of the commands that make a data set from one's own pictures and bring it to and from the hub's formats.

As in `configs`: values are plain, and nothing here imports torch.
"""

from dataclasses import dataclass
from pathlib import Path

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
    key_objects: str = "chosen"
    """`chosen`: where nothing marks them, those that the captions are about; `all`: every object."""
    skip_bad: bool = False
    """Leave pictures with a fault of their own out, counted, instead of refusing the folder."""
