"""The two tasks that a model is tuned and evaluated on: captions of pictures, and answers to closed questions."""

from collections.abc import Iterable

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.registry import unknown_name_message
from headimpact.data.closed_questions import AnswerTemplate, find_template
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats.questions import with_questions
from headimpact.data.sample import Sample
from headimpact.evaluation.requests import ResponseRequest
from headimpact.tuning.examples import TuningExample
from headimpact.workflows.configs import EvaluateConfig, TuneConfig

CAPTIONING, VQA = "captioning", "vqa"
TASKS = (CAPTIONING, VQA)


def check_task(config: TuneConfig | EvaluateConfig) -> None:
    """Refuse an unknown task or template, and options of the other task.

    Raises:
        UnknownNameError: If the task or the template is unknown.
        OptionError: If an option has no meaning in the task.
    """
    if config.task not in TASKS:
        raise UnknownNameError(unknown_name_message("task", config.task, TASKS))
    if config.answer_template is not None:
        find_template(config.answer_template)
    if config.task == CAPTIONING and config.answer_template is not None:
        raise OptionError("--answer-template words answers to questions; expected --task vqa with it. Leave it out.")
    if config.task == VQA and config.prompt is not None:
        raise OptionError(
            "--prompt is what is asked of every picture; with --task vqa each question is its own. Leave it out, or "
            "choose an --answer-template."
        )


def ask_task(
    config: TuneConfig | EvaluateConfig, dataset: KeyObjectDataset
) -> tuple[KeyObjectDataset, AnswerTemplate | None]:
    """Give the pictures what the task asks about them.

    Args:
        config: Options.
        dataset: The pictures.

    Returns:
        For `vqa` the pictures that have questions, and the template: the user's, else the data set's, else that of
        the model's family. For `captioning` the pictures as they are, and None.

    Raises:
        DataFormatError: If the data set has no questions or they have faults, or the model's config cannot be read.
        OptionError: If there is none about these pictures.
        UnknownNameError: If the data set names an unknown template.
        UnsupportedModelError: If the model's family is not known.
    """
    if config.task == CAPTIONING:
        return dataset, None
    asked = with_questions(dataset)
    if not len(asked):
        raise OptionError(
            f"No question about any of {len(dataset)} pictures of {dataset.root}. Check --split and --limit, or use "
            "--task captioning."
        )
    name = config.answer_template or asked.info.get("answer_template")
    if name is None:
        from headimpact.models.loading import find_family

        name = find_family(config.model, config.revision).answer_template
    return asked, find_template(str(name))


def question_examples(dataset: Iterable[Sample], template: AnswerTemplate) -> tuple[TuningExample, ...]:
    """Turn questions into what is learned: the answer that most people gave, in the words of the template."""
    return tuple(
        TuningExample(
            image_id=sample.image_id,
            load_image=sample.load_image,
            prompt=template.ask(question),
            answer=template.word(question.answer),
        )
        for sample in dataset
        for question in sample.questions
    )


def question_requests(dataset: Iterable[Sample], template: AnswerTemplate) -> tuple[ResponseRequest, ...]:
    """Turn questions into what is asked of the model and measured afterwards."""
    return tuple(
        ResponseRequest(
            image_id=sample.image_id,
            load_image=sample.load_image,
            prompt=template.ask(question),
            references=question.answers,
            question_id=question.question_id,
            question=question.question,
            read_answer=template.read,
        )
        for sample in dataset
        for question in sample.questions
    )
