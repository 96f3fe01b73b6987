"""A part of a data set is what its pictures are one by one."""

import dataclasses
import json

import pytest
from benchmarks.coco_like import write_coco_like, write_pictures

from headimpact.data.build.coco_pictures import CocoSource
from headimpact.data.build.parts import PartSettings, PartTask, build_part
from headimpact.data.build.picture_builder import BuildRule
from headimpact.data.formats.coco_records import read_coco_records
from tests.unit.data.build.makers import FINDER


@pytest.fixture
def lists(tmp_path):
    """Invented lists of some fifty pictures: one is missing, one has a broken object, one a broken caption."""
    instances, captions = write_coco_like(tmp_path, share=0.0004)
    write_pictures(tmp_path / "images", instances)
    (tmp_path / "images" / "000000000001.jpg").unlink()
    listed, said = json.loads(instances.read_text()), json.loads(captions.read_text())
    next(one for one in listed["annotations"] if one["image_id"] == 9)["segmentation"] = [[1, 2, "x", 4, 5, 6]]
    next(one for one in said["annotations"] if one["image_id"] == 12)["caption"] = 3
    instances.write_text(json.dumps(listed))
    captions.write_text(json.dumps(said))
    return read_coco_records(instances, captions)


def build(lists, folder, images, places, *, skip_bad):
    """Build pictures as one part; give its lines, its faults and the folder's files."""
    for name in ("images", "masks/objects"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    source = CocoSource(
        images=images.resolve(),
        instances="i.json",
        captions="c.json",
        categories=lists.categories,
        licences=lists.licences,
    )
    settings = PartSettings(
        folder=folder, source=source, finder=FINDER, rule=BuildRule(), check="header", skip_bad=skip_bad
    )
    task = PartTask(
        index=0,
        records=[lists.pictures[place] for place in places],
        stems=[str(place) for place in places],
        objects=[lists.objects.of(place) for place in places],
        captions=[lists.captions.of(place) for place in places],
    )
    found = build_part(task, settings)
    assert build_part(task, dataclasses.replace(settings, folder=None)) == found, "nothing but files is left out"
    return found


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_part_is_what_its_pictures_are_one_by_one(tmp_path, lists, skip_bad):
    images, places = tmp_path / "images", range(len(lists.pictures))
    whole = build(lists, tmp_path / "whole", images, places, skip_bad=skip_bad)
    single = [build(lists, tmp_path / "single", images, [place], skip_bad=skip_bad) for place in places]
    assert whole.lines == tuple(line for one in single for line in one.lines)
    assert whole.faults == tuple(fault for one in single for fault in one.faults)
    assert len(whole.faults) == (0 if skip_bad else 3)
    assert whole.num_pictures == len(places) > 40
    assert files(tmp_path / "whole") == files(tmp_path / "single")
    assert len(files(tmp_path / "whole")) > 20
