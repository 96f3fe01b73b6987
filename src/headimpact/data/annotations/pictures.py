"""The pictures of a folder, and which of them a name in an annotation file means."""

import difflib
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from headimpact.core.errors import DataFormatError
from headimpact.data.entries import Fault
from headimpact.data.folder_files import resolve_inside

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jp2"}
)
"""Endings, in lower case, by which a file is taken for a picture."""

HINT_LIMIT = 2000
"""Most pictures among which a name that is near an unknown one is looked for; it takes time for each."""


@dataclass(frozen=True, kw_only=True)
class PictureIndex:
    """The pictures of a folder by name.

    Attributes:
        root: The folder.
        paths: Name of each picture, its path relative to the folder with forward slashes, to the file; in order.
        categories: What the captions file calls the object of a picture, by name; for masks that carry no word.
        image_ids: Id of a picture that has another than its name.
    """

    root: Path
    paths: Mapping[str, Path]
    categories: Mapping[str, str] = field(default_factory=dict)
    image_ids: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: object) -> str:
        """Give the picture that a name means.

        That is a path relative to the folder, one that begins with the folder's own name, or a file name that only
        one picture has; the ending may be left out where one picture is meant.

        Args:
            name: Name as listed.

        Returns:
            A name of `paths`.

        Raises:
            DataFormatError: If the name is no clean text, is absolute, goes up by `..`, leads out of the folder, or
                means no picture or several.
        """
        wanted = PurePosixPath(name.replace("\\", "/")).as_posix() if isinstance(name, str) else ""
        below = wanted.removeprefix(f"{self.root.name}/")
        if wanted in self.paths or below in self.paths:
            return wanted if wanted in self.paths else below
        resolve_inside(self.root.resolve(), self.root, name)
        same = self._by_file_name.get(wanted) or self._by_stem.get(below) or self._by_bare_stem.get(wanted, [])
        if len(same) == 1:
            return same[0]
        if same:
            raise DataFormatError(
                f"Several pictures are meant by {name!r}: {', '.join(same[:3])}. Write the path from {self.root.name}/."
            )
        near = difflib.get_close_matches(wanted, self.paths, n=1) if len(self.paths) <= HINT_LIMIT else []
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise DataFormatError(f"No such picture: {name!r} is not in {self.root.name}/.{hint} Name one that is there.")

    def find_from(self, folder: Path, name: object) -> str:
        """Give the picture that a relative path from another folder means, as `../photos/1.jpg`, else as `find` does.

        No link is followed and no file is opened: the path either arrives at one of the pictures or is none.

        Args:
            folder: Folder of the file that names the picture.
            name: Path as listed there.

        Returns:
            A name of `paths`.

        Raises:
            DataFormatError: As for `find`.
        """
        if isinstance(name, str) and not PureWindowsPath(name).anchor:
            arrived = os.path.relpath(folder.resolve() / name.replace("\\", "/"), self.root.resolve())
            below = PurePosixPath(arrived).as_posix()
            if below in self.paths:
                return below
        return self.find(name)

    def find_stem(self, path: PurePosixPath) -> str | None:
        """Give the picture whose path without its ending is the same as that of `path`, or None.

        Raises:
            DataFormatError: If there are several.
        """
        same = self._by_stem.get(path.with_suffix("").as_posix(), [])
        if len(same) > 1:
            raise DataFormatError(
                f"Several pictures are meant by {path.stem!r}: {', '.join(same)}. Rename one of them."
            )
        return same[0] if same else None

    def fault(self, name: str, file: str, where: str, error: DataFormatError) -> Fault:
        """Lay a fault of an annotation on its picture, so that leaving the picture out would help."""
        return Fault(file, where, str(error), image_id=self.image_ids.get(name, name))

    @cached_property
    def _by_stem(self) -> Mapping[str, list[str]]:
        """Names by path without ending."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.paths:
            found[PurePosixPath(name).with_suffix("").as_posix()].append(name)
        return found

    @cached_property
    def _by_bare_stem(self) -> Mapping[str, list[str]]:
        """Names by file name alone, without ending."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.paths:
            found[PurePosixPath(name).stem].append(name)
        return found

    @cached_property
    def _by_file_name(self) -> Mapping[str, list[str]]:
        """Names by file name alone."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in self.paths:
            found[PurePosixPath(name).name].append(name)
        return found


def list_pictures(root: Path, faults: list[Fault], *, without: Path | None = None) -> PictureIndex:
    """List the pictures of a folder and the folders in it, by their endings; none is opened.

    Hidden files are passed over, and so are folders that are links.

    Args:
        root: The folder.
        faults: List that takes up what is wrong: a link out of the folder, a name that is no clean text.
        without: Folder in it that is passed over, such as that of the masks.

    Returns:
        The pictures in the order of their names.

    Raises:
        DataFormatError: If there is no such folder, or no picture in it.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataFormatError(f"No folder of pictures: {root} {found}. Pass the folder that holds them.")
    resolved = root.resolve()
    paths: dict[str, Path] = {}
    for name in sorted(_file_names(root, without)):
        try:
            paths[name] = resolve_inside(resolved, root, name)
        except DataFormatError as error:
            faults.append(Fault(f"{root.name}/{name}", "", str(error)))
    if not paths and not faults:
        known = ", ".join(sorted(PICTURE_SUFFIXES))
        raise DataFormatError(f"No picture in {root}: expected files that end in {known}.")
    return PictureIndex(root=root, paths=paths)


def _file_names(root: Path, without: Path | None) -> list[str]:
    """List the files that look like pictures, relative to the folder."""
    names: list[str] = []
    passed_over = None if without is None else without.resolve()
    for folder, inner, files in os.walk(root):
        inner[:] = [n for n in inner if not n.startswith(".") and (Path(folder) / n).resolve() != passed_over]
        likely = [name for name in files if Path(name).suffix.lower() in PICTURE_SUFFIXES]
        names += [(Path(folder) / name).relative_to(root).as_posix() for name in likely if not name.startswith(".")]
    return names
