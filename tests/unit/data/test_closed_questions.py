import pytest

from headimpact.core.errors import DataFormatError, UnknownNameError
from headimpact.data.closed_questions import TEMPLATES, ClosedQuestion, find_template


def question(*answers, choices=()):
    return ClosedQuestion(question_id="1", question="Which hue?", answers=answers, choices=choices)


def test_the_answer_is_what_most_people_gave_and_then_the_first():
    assert question("red", "blue", "blue").answer == "blue"
    assert question("red", "blue").answer == "red"


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_asks_and_reads_back_what_it_words(name):
    template = find_template(name)
    assert template.name == name
    assert "Which hue?" in template.ask(question("red"))
    assert "{" not in template.ask(question("red", choices=("red", "blue")))
    for answer in ("red", "a red one.", "10"):
        assert template.read(f"  {template.word(answer)}\n") == answer


def test_what_does_not_keep_to_the_template_is_read_whole():
    template = find_template("sentence")
    for said in ("red", "The answer is", "The answer is .", "The answer is red", ""):
        assert template.read(said) == said


def test_choices_are_listed_where_there_are_any():
    template = find_template("choices")
    assert template.ask(question("red", choices=("red", "blue"))).endswith("one of: red, blue.")
    assert template.ask(question("2")) == find_template("short").ask(question("2"))


@pytest.mark.parametrize(("text", "answers"), [(" ", ("a",)), ("Which?", ()), ("Which?", ("a", " "))])
def test_an_empty_question_is_refused(text, answers):
    with pytest.raises(DataFormatError, match="Empty question '7'"):
        ClosedQuestion(question_id="7", question=text, answers=answers)


def test_an_unknown_template_suggests_a_near_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'short'"):
        find_template("shorter")
