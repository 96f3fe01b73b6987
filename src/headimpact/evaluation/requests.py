"""What is asked of the model, in an order and in blocks that no interruption changes. No torch."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

from PIL import Image

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.evaluation.results import Prediction


@dataclasses.dataclass(frozen=True)
class ResponseRequest:
    """One picture with a prompt, and what the response will be measured against.

    Attributes:
        image_id: Name of the picture, as in the data set; one request a picture, or one a question about it.
        load_image: Gives the picture as RGB; called when its block is generated.
        prompt: What is asked, without chat template and image token.
        references: What people said, at least one.
        names: Words that count as naming a key object; empty where none are known.
        objects: Categories of all objects in the picture; None where they are not known.
        question_id: The question, where the prompt asks one of the data set.
        question: Its text.
        read_answer: Takes the answer out of what the model says; everything is the answer if left out.
    """

    image_id: str
    load_image: Callable[[], Image.Image]
    prompt: str
    references: tuple[str, ...]
    names: tuple[str, ...] = ()
    objects: tuple[str, ...] | None = None
    question_id: str | None = None
    question: str | None = None
    read_answer: Callable[[str], str] = str.strip

    @property
    def key(self) -> tuple[str, str]:
        """What must be asked only once: picture and question."""
        return self.image_id, self.question_id or ""

    def answered(self, text: str) -> Prediction:
        """Put what the model said beside what it is measured against."""
        return Prediction(
            image_id=self.image_id,
            prediction=self.read_answer(text),
            references=self.references,
            names=self.names,
            objects=self.objects,
            question_id=self.question_id,
            question=self.question,
        )


def split_blocks(requests: Sequence[ResponseRequest], *, block_size: int) -> tuple[tuple[ResponseRequest, ...], ...]:
    """Sort requests by picture and question and cut them into blocks, one block a batch.

    What is padded together depends on nothing but the pictures and the block size, so a run that was stopped
    and resumed generates from the same batches as one that was not.

    Args:
        requests: In any order.
        block_size: Requests per block, at least 1; the last block may be smaller.

    Returns:
        Blocks in the order of their picture names.

    Raises:
        OptionError: If `block_size` is below 1.
        DataFormatError: If there is no request, a picture or question comes twice, or one has no reference.
    """
    if block_size < 1:
        raise OptionError(f"Cannot cut requests into blocks of {block_size}; expected at least 1. Set --batch-size.")
    if not requests:
        raise DataFormatError("Nothing to generate: got no picture; expected at least one. Check --split and --limit.")
    ordered = sorted(requests, key=lambda request: request.key)
    for before, after in itertools.pairwise(ordered):
        if before.key == after.key:
            asked = "" if after.question_id is None else f" with question {after.question_id!r}"
            raise DataFormatError(
                f"Picture {after.image_id!r} is asked about twice{asked}; expected once. Remove one of them."
            )
    bare = [request.image_id for request in ordered if not request.references]
    if bare:
        raise DataFormatError(
            f"No reference for {len(bare)} of {len(ordered)} pictures, the first is {bare[0]!r}. "
            "Give references for them, or leave them out."
        )
    return tuple(tuple(ordered[start : start + block_size]) for start in range(0, len(ordered), block_size))
