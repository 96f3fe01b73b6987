"""Records of COCO lists grouped by picture, against a plain twin and on broken lists."""

import json
import random
from pathlib import Path

import msgspec
import pytest

from headimpact.data.formats.coco import read_coco
from headimpact.data.formats.coco_records import CocoRecords, read_coco_records
from tests.builders import coco_folder, shared_data


def read(root: Path) -> CocoRecords:
    return read_coco_records(root / "instances.json", root / "captions.json")


def test_records_are_grouped_as_by_a_plain_twin(tmp_path):
    def edit(instances, captions):
        generator = random.Random(0)
        for records in (instances["images"], instances["annotations"], captions["annotations"]):
            records += [{**record, "id": record["id"] + 1000} for record in records if records[0] is not record]
            generator.shuffle(records)
        known = [record["id"] for record in instances["images"]]
        for record in (*instances["annotations"], *captions["annotations"]):
            record["image_id"] = generator.choice(known)

    root = coco_folder(tmp_path, count=12, edit=edit)
    found = read(root)
    assert found.faults == ()
    instances, captions = (json.loads((root / name).read_text()) for name in ("instances.json", "captions.json"))
    ids = sorted(record["id"] for record in instances["images"])
    assert [record.id for record in found.pictures] == ids
    for place, image_id in enumerate(ids):
        for grouped, records in ((found.objects, instances["annotations"]), (found.captions, captions["annotations"])):
            expected = [record for record in records if record["image_id"] == image_id]
            assert [json.loads(text) for text in grouped.of(place)] == expected


def test_texts_and_numbers_are_the_same_ids(tmp_path):
    def edit(instances, captions):
        instances["annotations"][0]["image_id"] = "2"
        captions["annotations"][0].update(image_id="3", id="x")

    found = read(coco_folder(tmp_path, edit=edit))
    assert found.faults == ()
    assert [len(found.objects.of(place)) for place in range(3)] == [0, 2, 1]
    assert [len(found.captions.of(place)) for place in range(3)] == [0, 1, 2]


@pytest.mark.parametrize("value", [True, 1.0, None, [1], {"id": 1}, " 1", "1\n"])
def test_what_is_no_id_points_nowhere(tmp_path, value):
    found = read(coco_folder(tmp_path, edit=lambda i, c: i["annotations"][0].update(image_id=value)))
    assert [fault.where for fault in found.faults] == ["annotation 10"]
    assert "Points nowhere: image_id" in found.faults[0].what


def test_licences_and_categories_are_named(tmp_path):
    def edit(instances, captions):
        instances["licenses"] = [{"id": 4, "name": " By ", "url": "http:\\/\\/example.org\\/"}]

    found = read(coco_folder(tmp_path, edit=edit))
    assert found.licences == {"4": ("By", "http://example.org/")}
    assert found.categories == {"18": "dog", "17": "cat"}
    assert found.info == {"description": "tiny"}


def test_a_byte_order_mark_is_passed_over(tmp_path):
    root = coco_folder(tmp_path)
    path = root / "instances.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read(root).pictures) == 3


def test_a_letter_cut_by_a_block_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("headimpact.data.formats.coco_records._BLOCK", 7)
    root = coco_folder(tmp_path, edit=lambda i, c: c["annotations"][0].update(caption="\u00e4\u732b" * 9))
    path = root / "captions.json"
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False), encoding="utf-8")
    found = read(root)
    assert found.faults == ()
    assert msgspec.json.decode(found.captions.of(0)[0])["caption"] == "\u00e4\u732b" * 9


def test_the_line_of_a_fault_is_named(tmp_path):
    root = coco_folder(tmp_path)
    path = root / "instances.json"
    text = json.dumps(json.loads(path.read_text()), indent=1).replace('"height": 4', '"height" 4', 1)
    path.write_text(text)
    (fault,) = read(root).faults
    before = text.partition('"height" 4')[0]
    assert fault.where == f"line {before.count(chr(10)) + 1}"


def test_real_lists_are_read_as_by_the_other_reader():
    folder = shared_data("coco_mini")
    found, other = read(folder), read_coco(folder)
    assert found.faults == other.faults == ()
    assert [str(record.id) for record in found.pictures] == [entry.image_id for entry in other.entries]
    assert [len(found.objects.of(n)) for n in range(42)] == [len(entry.objects) for entry in other.entries]
    assert [len(found.captions.of(n)) for n in range(42)] == [len(entry.captions) for entry in other.entries]
