"""Configs of the commands that build data sets and look after them; `configs` says what a config is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from headimpact.workflows.configs import OptionalCount, OptionalPath, OptionalText, OutputOptions

DataFolder = Annotated[Positional[Path], arg(metavar="DATA")]


@dataclass(frozen=True, kw_only=True)
class KeyObjectOptions:
    """The rule by which objects are key, and what is asked about pictures."""

    named_weight: float = 0.4
    """Weight of the share of captions that name a category; the four weights add up to 1."""
    subject_weight: float = 0.3
    """Weight of the share of captions whose subject it is."""
    size_weight: float = 0.2
    """Weight of the square root of its share of the picture."""
    centrality_weight: float = 0.1
    """Weight of how near it is to the middle."""
    smallest_area_share: float = 0.02
    """Smallest share of the picture that a key object may cover."""
    largest_area_share: float = 0.5
    """Largest share, also of all key objects together."""
    most_instances: int = 4
    """Most objects that are a key object together."""
    smallest_size_ratio: float = 2.0
    """Size of the largest object over the next where captions speak of one; below, nobody knows which is meant."""
    most_key_objects: int = 2
    """Most key categories of a picture."""
    smallest_score: float = 0.5
    """Smallest score of a key object, in [0, 1]."""
    smallest_lead: float = 0.1
    """Smallest lead of the last key object over the next candidate."""
    instance_rule: str = "named"
    """Objects of a key category: `named`, the largest where captions speak of one, else all; `union`; `single`."""
    crowd_rule: str = "refuse"
    """`refuse`: a category with a crowd cannot be key; `ignore`: crowds are left out; `include`: they count."""
    questions_per_kind: int = 2
    """Most questions of a kind about a picture; of those about presence as many again are answered no."""
    question_choices: int = 3
    """Things to choose from in a question which of them is there."""
    largest_count: int = 4
    """Largest number that is asked for."""
    question_area_share: float = 0.01
    """Smallest share of the picture that a thing asked about covers."""
    smallest_gap: float = 0.05
    """Smallest distance, as a share of the width, between two things one of which is asked to be left or right."""


@dataclass(frozen=True, kw_only=True)
class BuildCocoConfig(KeyObjectOptions, OutputOptions):
    """Build a data set of key objects, descriptions and questions from COCO's lists."""

    instances: Path
    """COCO's instances_NAME.json."""
    captions: Path
    """COCO's captions_NAME.json of the same pictures."""
    images: Path
    """Folder of the pictures."""
    images_as: str = "link"
    """`link`: hard links, copies where that cannot be; `copy`; `reference`: pictures stay where they are."""
    check_pictures: str = "whole"
    """How far kept pictures are read: `whole`, to their `header`, or `no`."""
    skip_bad: bool = False
    """Leave pictures with a fault of their own out, counted, instead of refusing the lists."""
    license: tuple[str, ...] = ()
    """Take pictures with these licences only: ids, names, or short forms such as cc-by-2.0; all if left out."""
    splits: tuple[str, ...] = ("calibration=0.25", "train=0.5", "validation=0.1", "test=0.15")
    """Splits and their shares of the pictures."""
    limit: OptionalCount = None
    """Look at most at this many pictures, drawn by --seed."""
    workers: OptionalCount = None
    """Processes that decode masks and pictures; one per usable processor if left out."""


@dataclass(frozen=True, kw_only=True)
class StatsConfig:
    """Count what is in a built data set: splits, categories, areas, captions, questions, licences."""

    data: DataFolder
    """The folder."""
    json: bool = False
    """Print the answer as JSON on stdout."""


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """Write a contact sheet of a data folder: one page to leaf through and mark bad pictures."""

    data: DataFolder
    """The folder."""
    out: Path
    """HTML file to write."""
    category: OptionalText = None
    """Show pictures with this category only."""
    page: int = 1
    """Which page, in the order of the pictures' ids."""
    page_size: int = 200
    """Pictures of a page."""
    images: OptionalPath = None
    """Folder of the pictures, where the data folder only refers to them."""
    overwrite: bool = False
    """Replace a file that is there."""
    json: bool = False
    """Print the answer as JSON on stdout."""


@dataclass(frozen=True, kw_only=True)
class DropConfig:
    """Drop pictures from a data set, as marked on its contact sheet."""

    data: DataFolder
    """The folder; it is changed in place."""
    list: Path
    """File with one picture id a line, as the contact sheet saves it."""
    dry_run: bool = False
    """Say what would be dropped, and stop."""
    json: bool = False
    """Print the answer as JSON on stdout."""
