"""What a model made is marked, in memory and in files."""

import dataclasses

import pytest

from headimpact.core.errors import DataFormatError
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats import read_dataset
from headimpact.data.formats.jsonl_writer import write_jsonl_dataset
from headimpact.data.origins import CaptionOrigin, MaskOrigin
from tests.builders import jsonl_folder, sample

MASK = MaskOrigin(
    models=("dino@1a", "sam"), phrase="brown dog", box=(1.0, 1.0, 3.0, 3.0), box_confidence=0.5, mask_confidence=0.75
)
CAPTION = CaptionOrigin(model="vlm@2b", prompt="Describe.\n", is_complete=False)


@pytest.mark.parametrize("origin", [MASK, dataclasses.replace(MASK, mask_confidence=None)])
def test_mask_origin_survives_its_record(origin):
    assert MaskOrigin.from_record(origin.as_record()) == origin


def test_caption_origin_survives_its_record():
    assert CaptionOrigin.from_record(CAPTION.as_record()) == CAPTION


@pytest.mark.parametrize(
    "change",
    [{"models": "dino"}, {"box": [1, 2, 3]}, {"box": "1234"}, {"box_confidence": "high"}, {"phrase": None}, {"who": 1}],
    ids=str,
)
def test_broken_mask_origin(change):
    with pytest.raises(DataFormatError, match=r"Field .mask_origin. is .*expected"):
        MaskOrigin.from_record({**MASK.as_record(), **change})


@pytest.mark.parametrize("record", [{}, [], {**CAPTION.as_record(), "is_complete": "no"}], ids=str)
def test_broken_caption_origin(record):
    with pytest.raises(DataFormatError, match=r"Field .caption_origin. is .*expected"):
        CaptionOrigin.from_record(record)


def test_origins_survive_the_folder_and_people_s_work_has_none(tmp_path):
    made = sample(tmp_path / "from", caption_origin=CAPTION)
    made = dataclasses.replace(made, key_objects=(dataclasses.replace(made.key_objects[0], origin=MASK),))
    plain = sample(tmp_path / "from", image_id="2")
    several = dataclasses.replace(
        sample(tmp_path / "from", image_id="3"), key_objects=(*made.key_objects, *plain.key_objects)
    )
    for number, samples in enumerate([(made, plain), (made, plain, several)]):
        out = tmp_path / str(number)
        write_jsonl_dataset(KeyObjectDataset(samples=samples, root=tmp_path / "from"), out)
        read = read_dataset(out)
        assert [one.caption_origin for one in read][:2] == [CAPTION, None]
        assert [one.key_objects[0].origin for one in read][:2] == [MASK, None]
        assert all(len(one.key_objects) == 1 for one in read.samples[:2])
    assert [one.origin for one in read[2].key_objects] == [MASK, None]


def test_a_broken_origin_is_a_fault_of_its_line(tmp_path):
    with pytest.raises(DataFormatError, match=r"metadata.jsonl: line 2: Field 'mask_origin'"):
        read_dataset(jsonl_folder(tmp_path, {}, {"mask_origin": {"by": "me"}}))
