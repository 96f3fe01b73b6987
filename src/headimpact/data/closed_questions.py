"""Closed questions about a picture with the answers of one or more people, and the templates that word them.

A template says how a question is put to a model and in which words the answer comes, so that answers can be compared.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from headimpact.core.errors import DataFormatError, UnknownNameError
from headimpact.core.registry import unknown_name_message


@dataclass(frozen=True, kw_only=True)
class ClosedQuestion:
    """A question with few possible answers.

    Attributes:
        question_id: Identifier, unique in its data set.
        question: What is asked.
        answers: What people answered, at least one.
        choices: All answers that the question allows; empty where they are not listed.
        kind: What kind of question it is, where the data set says so.
        categories: Categories that it is about, where the data set says so.
    """

    question_id: str
    question: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    kind: str | None = None
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that there is something to ask and to answer.

        Raises:
            DataFormatError: If the question or an answer is blank, or there is no answer.
        """
        if not self.question.strip() or not self.answers or not all(text.strip() for text in self.answers):
            raise DataFormatError(
                f"Empty question {self.question_id!r}: {self.question!r} with answers {list(self.answers)}; expected a "
                "question and at least one answer, none of them blank."
            )

    @property
    def answer(self) -> str:
        """The answer that most people gave; the first of several."""
        return Counter(self.answers).most_common(1)[0][0]


@dataclass(frozen=True)
class AnswerTemplate:
    """How a question is put and how its answer is worded.

    Attributes:
        name: Name in `TEMPLATES`.
        prompt: What the user says, with `{question}`.
        answer: What the model is to say, with `{answer}`.
        prompt_with_choices: The prompt where choices are known, with `{question}` and `{choices}`; the same if None.
    """

    name: str
    prompt: str
    answer: str = "{answer}"
    prompt_with_choices: str | None = None

    def ask(self, question: ClosedQuestion) -> str:
        r"""Put a question.

        Args:
            question: The question.

        Example:
            >>> hue = ClosedQuestion(question_id="1", question="Which hue?", answers=("red",), choices=("red", "blue"))
            >>> TEMPLATES["choices"].ask(hue)
            'Which hue?\nAnswer with one of: red, blue.'
        """
        listed = self.prompt_with_choices if question.choices and self.prompt_with_choices else self.prompt
        return listed.replace("{choices}", ", ".join(question.choices)).replace("{question}", question.question)

    def word(self, answer: str) -> str:
        """Word an answer.

        Example:
            >>> TEMPLATES["sentence"].word("red")
            'The answer is red.'
        """
        return self.answer.replace("{answer}", answer)

    def read(self, said: str) -> str:
        """Take the answer out of what was said; all of it where it does not keep to the template.

        Example:
            >>> TEMPLATES["sentence"].read(" The answer is red. "), TEMPLATES["sentence"].read("Red, I think.")
            ('red', 'Red, I think.')
        """
        text, (before, _, after) = said.strip(), self.answer.partition("{answer}")
        keeps_to_it = text.startswith(before) and text.endswith(after) and len(text) > len(before + after)
        return text[len(before) : len(text) - len(after)].strip() if keeps_to_it else text


_SHORT = "{question}\nAnswer the question using a single word or phrase."

TEMPLATES: Mapping[str, AnswerTemplate] = MappingProxyType(
    {
        template.name: template
        for template in (
            AnswerTemplate("bare", "{question}"),
            AnswerTemplate("short", _SHORT),
            AnswerTemplate("choices", _SHORT, prompt_with_choices="{question}\nAnswer with one of: {choices}."),
            AnswerTemplate(
                "sentence", '{question}\nAnswer with the sentence "The answer is ...".', "The answer is {answer}."
            ),
            AnswerTemplate("answer-en", "answer en {question}"),
        )
    }
)
"""Name to template. `short` is LLaVA-1.5's request (Liu et al. 2310.03744), `answer-en` PaliGemma's (2407.07726)."""


def find_template(name: str) -> AnswerTemplate:
    """Look a template up.

    Raises:
        UnknownNameError: If there is none of that name.
    """
    if name not in TEMPLATES:
        raise UnknownNameError(unknown_name_message("answer template", name, TEMPLATES))
    return TEMPLATES[name]
