"""Tables of a data set: in order, each picture in one split, counted again from the files."""

import json

import pytest

from headimpact.core.errors import DataFormatError
from headimpact.data.build.built_picture import BuiltPicture
from headimpact.data.build.dropping import drop_pictures, find_marked, read_marked
from headimpact.data.build.statistics import collect_statistics, read_lines
from headimpact.data.build.tables import choose_splits, write_tables


def built(number, *, kept=True, category="dog", captions=("A dog.",), questions=()):
    decision = {"image_id": str(number), "reason": "kept" if kept else "too_small"}
    if not kept:
        return BuiltPicture(decision=decision)
    entry = {"image_id": str(number), "file_name": f"images/{number}.png", "category": category, "captions": captions}
    return BuiltPicture(
        decision=decision,
        entry={**entry, "mask_file_name": f"masks/{number}.png", "licence": None, "area_share": 0.07 * number},
        source={"image_id": str(number), "file_name": f"images/{number}.png", "licence": "=By"},
        questions=questions,
    )


def written(folder, pictures, info=None):
    lines = [picture.lines() for picture in pictures]
    splits = choose_splits(lines, seed=0, shares={"train": 0.5, "test": 0.5})
    write_tables(folder, lambda: iter(lines), splits=splits, info=info or {"made_by": "headimpact"})
    return splits


def test_tables_hold_every_picture_in_order(tmp_path):
    asked = ({"question_id": "1-which-1", "image_id": "1", "kind": "which", "answer": "dog"},)
    splits = written(tmp_path, [built(1, questions=asked), built(2, kept=False), built(3)])
    assert sorted(splits) == ["1", "3"]
    metadata = list(read_lines(tmp_path / "metadata.jsonl"))
    assert [(line["image_id"], line["split"]) for line in metadata] == [(one, splits[one]) for one in ("1", "3")]
    assert [line["image_id"] for line in read_lines(tmp_path / "decisions.jsonl")] == ["1", "2", "3"]
    assert list(read_lines(tmp_path / "questions.jsonl")) == [{**asked[0], "split": splits["1"]}]
    assert (tmp_path / "attribution.csv").read_text().splitlines() == [
        "image_id,file_name,licence,source", "1,images/1.png,=By,", "3,images/3.png,=By,",
    ]  # fmt: skip
    assert not list(tmp_path.glob(".*"))


def test_statistics_are_counts_of_the_tables(tmp_path):
    questions = (
        {"kind": "which", "answer": "dog"}, {"kind": "presence", "answer": "no"}, {"kind": "count", "answer": "2"},
    )  # fmt: skip
    pictures = [
        built(1, questions=questions),
        built(2, kept=False),
        built(3, category="cat", captions=("A b c.", "D.")),
    ]
    splits = written(tmp_path, pictures)
    found = collect_statistics(tmp_path)
    assert (found.pictures, found.decided, found.captions, found.words) == (2, 3, 3, 6)
    assert found.reasons == {"kept": 2, "too_small": 1}
    assert found.categories == {"dog": 1, "cat": 1}
    assert found.area_steps == {1: 1, 4: 1}
    assert found.key_objects == {1: 2}
    assert found.questions == {"which (name)": 1, "presence no": 1, "count 2": 1}
    assert found.licences == {"(unknown)": 2}
    assert sorted(found.splits) == sorted(splits.values())


def test_statistics_do_without_what_is_missing(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "A dog."}\n\n')
    found = collect_statistics(tmp_path)
    assert (found.pictures, found.decided, found.captions, found.splits) == (1, 0, 1, {"(none)": 1})


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}\n7'])
def test_a_broken_table_names_its_line(tmp_path, text):
    (tmp_path / "metadata.jsonl").write_text(text)
    number = text.count("\n") + 1
    with pytest.raises(DataFormatError, match=rf"metadata\.jsonl line {number}"):
        collect_statistics(tmp_path)


def test_files_of_a_folder_that_a_person_made_are_never_deleted(tmp_path):
    written(tmp_path, [built(1), built(3)], info={"made_by": "me"})
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").touch()
    drop_pictures(tmp_path, find_marked(tmp_path, ["1"]))
    assert [line["image_id"] for line in read_lines(tmp_path / "metadata.jsonl")] == ["3"]
    assert (tmp_path / "images" / "1.png").is_file()
    assert (tmp_path / "masks" / "1.png").is_file()


def test_a_listed_file_outside_is_not_deleted(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    written(folder, [built(1), built(3)])
    (tmp_path / "precious.png").touch()
    text = (folder / "metadata.jsonl").read_text().replace("images/1.png", "../precious.png")
    (folder / "metadata.jsonl").write_text(text)
    with pytest.raises(DataFormatError, match="Path leaves the data folder"):
        drop_pictures(folder, find_marked(folder, ["1"]))
    assert (tmp_path / "precious.png").is_file()
    assert len(list(read_lines(folder / "metadata.jsonl"))) == 2


def test_a_picture_without_an_id_goes_by_its_name(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png"}\n{"file_name": "b.png"}\n')
    drop_pictures(tmp_path, find_marked(tmp_path, ["a.png"]))
    assert json.loads((tmp_path / "metadata.jsonl").read_text()) == {"file_name": "b.png"}


def test_marked_ids_are_read_as_saved(tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"\xef\xbb\xbf7\r\n\r\n a b \r\n7\r\n")
    assert read_marked(tmp_path / "bad.txt") == ("7", "a b")


def test_another_formats_folder_is_sent_to_what_counts_it(tmp_path):
    with pytest.raises(
        DataFormatError, match=r"has no metadata.jsonl\..*of others, scenes among them, `headimpact datas"
    ):
        collect_statistics(tmp_path)
