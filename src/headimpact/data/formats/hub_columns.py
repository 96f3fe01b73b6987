"""The columns of a data set in the hub's formats, as Parquet with the pictures inside or as a list beside files.

| column | |
|---|---|
| `image` | the picture file as it is |
| `mask` | union of the key objects' masks, of one bit, white on them |
| `key_objects` | for each: `category`, `names`, `mask`, and `mask_origin` where models made it |
| `image_id`, `captions`, `captions_original`, `split`, `prompt`, `licence` | as in our own format |
| `area_share`, `caption_origin`, `categories` | the same |
| `questions` | for each: `question_id`, `question`, `answers`, `choices`, `kind`, `categories` |

A list beside files names them in `file_name` and `mask_file_name`, from which `datasets` makes `image` and `mask`.
"""

from dataclasses import asdict
from types import ModuleType
from typing import Any

from headimpact.core.extras import require_extra
from headimpact.data.sample import KeyObject, Sample


def require_datasets() -> ModuleType:
    """Import `datasets`, or say how to install it.

    Raises:
        MissingExtraError: If it is not installed.
    """
    return require_extra("datasets", extra="hub", purpose="The hub's format")


def hub_features(*, as_files: bool) -> Any:
    """Give the columns as `datasets.Features`.

    Args:
        as_files: Whether pictures and masks are files that are named, not values.
    """
    library = require_datasets()
    text, number = library.Value("string"), library.Value("float64")
    texts = library.List(text)
    picture = text if as_files else library.Image()
    image, mask = ("file_name", "mask_file_name") if as_files else ("image", "mask")
    mask_origin = {
        "models": texts,
        "phrase": text,
        "box": library.List(number),
        "box_confidence": number,
        "mask_confidence": number,
    }
    lists = dict.fromkeys(("answers", "choices", "categories"), texts)
    question = {"question_id": text, "question": text, "kind": text, **lists}
    key_object = {"category": text, "names": texts, mask: picture, "mask_origin": mask_origin}
    return library.Features(
        {
            "image_id": text,
            image: picture,
            mask: picture,
            "captions": texts,
            "captions_original": texts,
            "key_objects": library.List(key_object),
            "split": text,
            "prompt": text,
            "licence": text,
            "area_share": number,
            "caption_origin": {"model": text, "prompt": text, "is_complete": library.Value("bool")},
            "categories": texts,
            "questions": library.List(question),
        }
    )


def sample_row(
    sample: Sample, *, image: Any, union: Any, masks: list[Any], area_share: float, as_files: bool
) -> dict[str, Any]:
    """Write a sample as a row.

    Args:
        sample: The sample.
        image: Value of its picture.
        union: Value of the mask of all its key objects.
        masks: Value of the mask of each.
        area_share: Share of the picture that they cover together.
        as_files: As for `hub_features`.
    """
    image_key, mask_key = ("file_name", "mask_file_name") if as_files else ("image", "mask")
    return {
        "image_id": sample.image_id,
        image_key: image,
        mask_key: union,
        "captions": list(sample.captions),
        "captions_original": list(sample.captions_original),
        "key_objects": [
            {**_object_row(one), mask_key: mask} for one, mask in zip(sample.key_objects, masks, strict=True)
        ],
        "split": sample.split,
        "prompt": sample.prompt,
        "licence": sample.licence,
        "area_share": area_share,
        "caption_origin": None if sample.caption_origin is None else sample.caption_origin.as_record(),
        "categories": None if sample.categories is None else list(sample.categories),
        "questions": [asdict(question) for question in sample.questions],
    }


def _object_row(one: KeyObject) -> dict[str, Any]:
    """Write what is known of a key object but its mask."""
    origin = None if one.origin is None else one.origin.as_record()
    return {"category": one.category, "names": list(one.names), "mask_origin": origin}
