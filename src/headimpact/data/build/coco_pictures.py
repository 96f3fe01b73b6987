"""Read a picture of a pair of COCO lists: sizes, objects and captions checked, masks drawn as run lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from pycocotools import mask as coco_mask

from headimpact.core.errors import DataFormatError
from headimpact.data.build.descriptions import clean_caption
from headimpact.data.build.evidence import AnnotatedPicture, Instance
from headimpact.data.entries import Fault
from headimpact.data.folder_files import read_id, resolve_inside
from headimpact.data.formats.coco_records import PictureRecord
from headimpact.data.masks import RleMask, SizeHW, refuse_other_frame
from headimpact.data.segmentations import rle_from_segmentation, segmentation_size


class _ObjectRecord(msgspec.Struct):
    """What is read of an annotated object; nothing in it is checked."""

    id: Any = None
    category_id: Any = None
    segmentation: Any = None
    iscrowd: Any = None


class _CaptionRecord(msgspec.Struct):
    """What is read of a caption; nothing in it is checked."""

    id: Any = None
    caption: Any = None


_OBJECTS, _CAPTIONS = msgspec.json.Decoder(_ObjectRecord), msgspec.json.Decoder(_CaptionRecord)


@dataclass(frozen=True, kw_only=True)
class CocoSource:
    """What is the same for all pictures of a pair of lists.

    Attributes:
        images: Folder of the pictures, resolved.
        instances: Name of the file with the objects, for messages.
        captions: Name of the file with the captions.
        categories: Category id to name.
        licences: Licence id to name and address.
    """

    images: Path
    instances: str
    captions: str
    categories: Mapping[str, str]
    licences: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class SourcePicture:
    """A picture to build from, of whatever origin.

    Attributes:
        annotated: Size, objects with their masks, and cleaned captions.
        originals: The captions as they were given, in the same order.
        without_pixels: Ids of objects that enclose no pixel (degenerate, or outside the picture); they do not count.
        path: The picture file.
        file_name: Its name in the source.
        stem: Name, without suffix, of the files made from it; unique in the data set.
        licence: Its licence, if known.
        address: Where it comes from, if known.
    """

    annotated: AnnotatedPicture
    originals: tuple[str, ...]
    without_pixels: tuple[str, ...] = ()
    path: Path
    file_name: str
    stem: str
    licence: str | None = None
    address: str | None = None


def read_coco_picture(
    record: PictureRecord, objects: Sequence[bytes], captions: Sequence[bytes], *, stem: str, source: CocoSource
) -> tuple[SourcePicture | None, list[Fault]]:
    """Read everything about a picture; the picture itself is not opened.

    Areas are counted pixels and boxes those of the masks, not the fields `area` and `bbox`.

    Args:
        record: Its record.
        objects: Text of its annotated objects.
        captions: Text of its captions; those without a letter or digit are left out.
        stem: Name of the files made from it.
        source: What is the same for all.

    Returns:
        The picture, or None, and everything that is wrong with it.
    """
    image_id, faults = str(read_id(record.id)), []
    size_hw, path = _size(record), None
    if size_hw is None:
        what = f"Size is height {record.height!r}, width {record.width!r}, expected whole numbers above 0."
        faults.append(Fault(source.instances, f"image {image_id}", what, image_id=image_id))
    try:
        path = resolve_inside(source.images, source.images, record.file_name)
    except DataFormatError as error:
        faults.append(Fault(source.instances, f"image {image_id}", str(error)))
    instances = _read_objects(objects, size_hw, image_id, source, faults) if size_hw else []
    texts = _read_captions(captions, image_id, source, faults)
    if faults or size_hw is None or path is None:
        return None, faults
    name, address = source.licences.get(str(read_id(record.license)), ("", ""))
    annotated = AnnotatedPicture(
        image_id=image_id,
        size_hw=size_hw,
        captions=tuple(clean for clean, _ in texts),
        instances=tuple(instance for instance in instances if instance.area),
    )
    return SourcePicture(
        annotated=annotated,
        originals=tuple(original for _, original in texts),
        without_pixels=tuple(instance.instance_id for instance in instances if not instance.area),
        path=path,
        file_name=record.file_name,
        stem=stem,
        licence=(f"{name} ({address})" if address else name) or None,
        address=next((url for url in (record.flickr_url, record.coco_url) if isinstance(url, str) and url), None),
    ), faults


def _read_objects(
    raws: Sequence[bytes], size_hw: SizeHW, image_id: str, source: CocoSource, faults: list[Fault]
) -> list[Instance]:
    """Read the annotated objects of a picture and draw their masks."""
    drawn: list[tuple[str, str, bool, RleMask]] = []
    for place, raw in enumerate(raws):
        record = _OBJECTS.decode(raw)
        own = str(read_id(record.id) or f"{image_id}.{place}")
        try:
            category = source.categories[str(read_id(record.category_id))]
            drawn.append((own, category, _flag(record.iscrowd), _draw(record.segmentation, size_hw)))
        except DataFormatError as error:
            faults.append(Fault(source.instances, f"annotation {own}", str(error), image_id=image_id))
    if not drawn:
        return []
    encoded = [{"size": list(size_hw), "counts": mask.counts} for _, _, _, mask in drawn]
    areas, boxes = coco_mask.area(encoded).tolist(), coco_mask.toBbox(encoded).tolist()
    return [
        Instance(instance_id=own, category=category, box=tuple(box), area=area, is_crowd=is_crowd, mask=mask)
        for (own, category, is_crowd, mask), area, box in zip(drawn, areas, boxes, strict=True)
    ]


def _draw(segmentation: object, size_hw: SizeHW) -> RleMask:
    """Draw a segmentation that must be in the picture's frame.

    Raises:
        DataFormatError: If it is broken or in another frame.
    """
    refuse_other_frame(segmentation_size(segmentation, picture_hw=size_hw), [size_hw])
    return rle_from_segmentation(segmentation, size_hw=size_hw)


def _flag(value: object) -> bool:
    """Read `iscrowd`, which may be missing.

    Raises:
        DataFormatError: If it is neither 0, 1, true nor false.
    """
    if value not in {None, 0, 1} or isinstance(value, float):
        raise DataFormatError(f"Field 'iscrowd' is {value!r}, expected 0 or 1.")
    return bool(value)


def _read_captions(
    raws: Sequence[bytes], image_id: str, source: CocoSource, faults: list[Fault]
) -> list[tuple[str, str]]:
    """Read the captions of a picture: cleaned, and as given."""
    texts = []
    for place, raw in enumerate(raws):
        record = _CAPTIONS.decode(raw)
        if not isinstance(record.caption, str):
            where = f"annotation {read_id(record.id) or f'{image_id}.{place}'}"
            what = f"Field 'caption' is {record.caption!r}, expected a text."
            faults.append(Fault(source.captions, where, what, image_id=image_id))
        elif clean := clean_caption(record.caption):
            texts.append((clean, record.caption))
    return texts


def _size(record: PictureRecord) -> SizeHW | None:
    """Give height and width of a picture's record if they are sound."""
    height, width = record.height, record.width
    sound = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in (height, width))
    return (height, width) if sound else None
