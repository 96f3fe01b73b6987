import json

import pytest

from headimpact.core.errors import DataFormatError
from headimpact.data.formats import read_dataset
from headimpact.data.formats.questions import check_questions, read_questions, with_questions
from tests.builders import coco_folder, jsonl_folder


def lines(root, *records):
    sound = {"question_id": "q", "image_id": 1, "question": "Is it?", "answer": "yes"}
    text = [json.dumps(sound | {"question_id": f"q{n}"} | record) for n, record in enumerate(records)]
    (root / "questions.jsonl").write_text("\n".join(text) + "\n")
    return root


def vqa(root, questions, annotations):
    (root / "questions.json").write_text(json.dumps({"questions": questions}))
    (root / "answers.json").write_text(json.dumps({"annotations": annotations}))
    return root


def test_lines_are_read_and_split_with_their_pictures(tmp_path):
    folder = lines(
        coco_folder(tmp_path, edit=lambda instances, _: instances["images"][1].update(split="test")),
        {"choices": ["yes", "no"], "kind": "presence"},
        {"image_id": "2", "answer": None, "answers": ["2", "two"]},
    )
    dataset = read_dataset(folder)
    asked = with_questions(dataset)
    assert [(s.image_id, [(q.question_id, q.answers) for q in s.questions]) for s in asked] == [
        ("1", [("q0", ("yes",))]),
        ("2", [("q1", ("2", "two"))]),
    ]
    assert asked[0].questions[0].choices == ("yes", "no")
    assert asked.skipped == {"no_question": 1}
    assert with_questions(dataset.split("test")).image_ids == ("2",)
    assert check_questions(dataset) == 2


def test_vqas_files_are_joined_by_question(tmp_path):
    questions = [{"question_id": n, "image_id": n, "question": "Is it?"} for n in (1, 2)]
    answers = [{"question_id": n, "question_type": "is", "answers": [{"answer": "yes"}] * n} for n in (2, 1)]
    found = read_questions(vqa(coco_folder(tmp_path), questions, answers))
    assert [(one.answers, one.kind) for asked in found.values() for one in asked] == [
        (("yes",), "is"),
        (("yes", "yes"), "is"),
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        pytest.param({"question": " "}, "line 1: Empty question 'q0'", id="blank"),
        pytest.param({"answer": None}, "at least one answer", id="no answer"),
        pytest.param({"image_id": None}, "'image_id' is None", id="no picture"),
        pytest.param({"question_id": 1.5}, "'question_id' is 1.5", id="id"),
        pytest.param({"choices": [1]}, "'choices' is .* expected a list of texts", id="choices"),
    ],
)
def test_faults_name_their_place(tmp_path, record, message):
    with pytest.raises(DataFormatError, match=message):
        read_questions(lines(coco_folder(tmp_path), record))


def test_all_faults_are_listed(tmp_path):
    folder = lines(coco_folder(tmp_path), {}, {"question_id": "q0"}, {"question": ""})
    with pytest.raises(DataFormatError) as caught:
        read_questions(folder)
    assert [fault.split(": ")[1] for fault in caught.value.faults] == ["line 2", "line 3"]


def test_a_question_without_an_answer_and_one_about_no_picture_are_faults(tmp_path):
    questions = [{"question_id": 1, "image_id": 1, "question": "Is it?"}]
    with pytest.raises(DataFormatError, match=r"No answer to question_id 1 in answers\.json"):
        read_questions(vqa(coco_folder(tmp_path / "a"), questions, []))
    dataset = read_dataset(lines(coco_folder(tmp_path / "b"), {"image_id": 99}))
    with pytest.raises(DataFormatError, match="image_id '99' is no picture of this folder"):
        check_questions(dataset)


def test_a_folder_without_questions_says_what_was_looked_for(tmp_path):
    dataset = read_dataset(coco_folder(tmp_path))
    assert check_questions(dataset) == 0
    with pytest.raises(DataFormatError, match=r"No questions in .*: expected questions\.jsonl"):
        with_questions(dataset)


def test_everything_annotated_is_known_where_the_folder_says_it(tmp_path):
    assert read_dataset(coco_folder(tmp_path / "coco"))[0].categories == ("dog",)
    ours = read_dataset(jsonl_folder(tmp_path / "ours", {}, {"categories": ["bench", "dog"]}))
    assert [sample.categories for sample in ours] == [None, ("bench", "dog")]
