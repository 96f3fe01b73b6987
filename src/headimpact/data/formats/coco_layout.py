"""Find the lists and the pictures of a COCO folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headimpact.core.errors import DataFormatError


@dataclass(frozen=True)
class CocoLayout:
    """Where the parts of a COCO folder are.

    Attributes:
        root: The folder.
        instances: File with pictures, categories and annotated objects.
        captions: File with captions.
        picture_folders: Folders that may hold the pictures, the likeliest first.
    """

    root: Path
    instances: Path
    captions: Path
    picture_folders: tuple[Path, ...]

    def name(self, path: Path) -> str:
        """Give a file's path as written in messages: relative to the folder."""
        return path.relative_to(self.root).as_posix()

    def picture_folder(self, file_names: Sequence[str]) -> Path:
        """Give the first folder that holds any of the pictures; the likeliest where none does."""
        for folder in self.picture_folders:
            if any((folder / name).is_file() for name in file_names):
                return folder
        return self.picture_folders[0]


def has_coco_lists(root: Path) -> bool:
    """Tell whether a folder holds lists named as COCO names them."""
    return bool(_lists(root, "instances") or _lists(root, "captions"))


def find_coco_layout(root: Path) -> CocoLayout:
    """Find the one pair of lists `instances*.json` and `captions*.json`, and where the pictures may be.

    Lists are looked for in the folder and in its `annotations/`; a pair has the same ending, as in
    `instances_val2017.json` and `captions_val2017.json`. Pictures are looked for in `images/`, in a folder
    named by the ending (`val2017/`), in `images/val2017/`, and in the folder itself.

    Args:
        root: The data folder.

    Returns:
        The layout.

    Raises:
        DataFormatError: If there is no pair or more than one.
    """
    captions = _lists(root, "captions")
    instances = _lists(root, "instances")
    pairs = {key: (path, captions[key]) for key, path in instances.items() if key in captions}
    if len(pairs) == 1:
        (_, ending), (instances_path, captions_path) = next(iter(pairs.items()))
        return CocoLayout(root, instances_path, captions_path, _picture_folders(root, ending))
    found = [path.relative_to(root).as_posix() for path in (*instances.values(), *captions.values())]
    if not pairs:
        raise DataFormatError(
            f"No pair of COCO lists in {root}: found {', '.join(found)}; expected instances.json and captions.json, "
            "or instances_NAME.json and captions_NAME.json, side by side in the folder or in annotations/."
        )
    raise DataFormatError(
        f"Several COCO data sets in {root}: {', '.join(found)}; expected one pair of lists. "
        "Move the pair you want and its pictures into a folder of their own."
    )


def _lists(root: Path, kind: str) -> dict[tuple[str, str], Path]:
    """Find the lists of one kind: (folder, ending) to path."""
    found = {}
    for folder in (root, root / "annotations"):
        for path in sorted(folder.glob(f"{kind}*.json")):
            ending = path.stem.removeprefix(kind)
            if path.is_file() and ending[:1] in {"", "_", "-"}:
                found[folder.name if folder != root else "", ending[1:]] = path
    return found


def _picture_folders(root: Path, ending: str) -> tuple[Path, ...]:
    """List where the pictures may be: folders that exist, the data folder last."""
    likely = [root / "images" / ending, root / ending] if ending else []
    candidates = [*likely, root / "images"]
    return (*(folder for folder in candidates if folder.is_dir()), root)
