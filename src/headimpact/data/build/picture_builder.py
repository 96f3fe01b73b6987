"""Build one picture of a data set: decide, put captions in order, ask questions, say which masks are to be written.

Comes in: a `SourcePicture`. Goes out: a `BuiltPicture` and the masks of its key objects by file name. Nothing is
written here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headimpact.data.build.built_picture import BuiltPicture, Record
from headimpact.data.build.coco_pictures import SourcePicture
from headimpact.data.build.decisions import PictureDecision, decision_record
from headimpact.data.build.descriptions import order_descriptions
from headimpact.data.build.evidence import Evidence
from headimpact.data.build.key_objects import KeyObjectRule, decide_picture
from headimpact.data.build.mentions import MentionFinder
from headimpact.data.build.questions import QuestionRule, ask_questions
from headimpact.data.masks import RleMask


@dataclass(frozen=True, kw_only=True)
class BuildRule:
    """All rules that a data set is built by.

    Attributes:
        key_objects: Which objects are key.
        questions: What is asked.
        keep_file_names: Name pictures as the source does ("reference"), not by their place in the new folder.
    """

    key_objects: KeyObjectRule = field(default_factory=KeyObjectRule)
    questions: QuestionRule = field(default_factory=QuestionRule)
    keep_file_names: bool = False


def build_picture(
    source: SourcePicture, finder: MentionFinder, *, rule: BuildRule
) -> tuple[BuiltPicture, dict[str, RleMask]]:
    """Build a picture.

    Args:
        source: The picture.
        finder: Finds the mentions of the data set's categories.
        rule: All rules.

    Returns:
        What became of it, and its masks by file name relative to the folder; none where it was left out.
    """
    decision = decide_picture(source.annotated, finder, rule=rule.key_objects)
    record = _decision_record(decision, source)
    keys = decision.key_objects
    if not keys:
        return BuiltPicture(decision=record), {}
    masks, whole = _key_masks(source, keys)
    entry = {
        "image_id": source.annotated.image_id,
        "file_name": source.file_name if rule.keep_file_names else picture_name(source),
        "mask_file_name": next(reversed(masks)),
        **_descriptions(source, keys, finder),
        **_objects(keys, list(masks)),
        "categories": sorted({instance.category for instance in source.annotated.instances}),
        "licence": source.licence,
        "area_share": round(whole.area / (whole.size_hw[0] * whole.size_hw[1]), 6),
    }
    asked = ask_questions(
        source.annotated, finder, key_categories=[evidence.category for evidence in keys], rule=rule.questions
    )
    row = {
        "image_id": source.annotated.image_id,
        "file_name": entry["file_name"],
        "licence": source.licence,
        "source": source.address,
    }
    questions = tuple(vars(question) for question in asked)
    return BuiltPicture(decision=record, entry=entry, source=row, questions=questions), masks


def picture_name(source: SourcePicture) -> str:
    """Give the name of a picture's file in the new folder."""
    return f"images/{source.stem}{source.path.suffix}"


def _decision_record(decision: PictureDecision, source: SourcePicture) -> Record:
    """Write a decision down, with the objects that could not take part."""
    record = decision_record(decision)
    return {**record, "without_pixels": list(source.without_pixels)} if source.without_pixels else record


def _key_masks(source: SourcePicture, keys: Sequence[Evidence]) -> tuple[dict[str, RleMask], RleMask]:
    """Give the masks to write by file name, the one of all key objects last, and that one."""
    of_object = {instance.instance_id: instance.mask for instance in source.annotated.instances}
    united = [
        RleMask.union([mask for one in evidence.instance_ids if (mask := of_object[one]) is not None])
        for evidence in keys
    ]
    whole = RleMask.union(united)
    parts = {} if len(keys) == 1 else {f"masks/objects/{source.stem}.{n}.png": mask for n, mask in enumerate(united)}
    return {**parts, f"masks/{source.stem}.png": whole}, whole


def _descriptions(source: SourcePicture, keys: Sequence[Evidence], finder: MentionFinder) -> Mapping[str, list[str]]:
    """Give the captions in order, cleaned and as they were given."""
    categories = [evidence.category for evidence in keys]
    ordered = order_descriptions(source.originals, categories, finder, cleaned=source.annotated.captions)
    return {
        "captions": [description.text for description in ordered],
        "captions_original": [description.original for description in ordered],
    }


def _objects(keys: Sequence[Evidence], mask_names: Sequence[str]) -> Record:
    """Give the fields that say what the key objects are; the same in every line, as `datasets` wants it."""
    blocks = [
        {"mask_file_name": name, "category": evidence.category}
        for name, evidence in zip(mask_names, keys, strict=False)
    ]
    return {"category": keys[0].category, "key_objects": blocks}
