"""What is learned from, and in which order: the same batches for every arm of a comparison. No torch."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.tuning.options import TuningOptions


@dataclasses.dataclass(frozen=True)
class TuningExample:
    """One picture with a prompt and the answer to learn.

    Attributes:
        image_id: Name of the picture, as in the data set.
        load_image: Gives the picture as RGB; called when the example is used.
        prompt: What is asked, without chat template and image token.
        answer: What is to be said; the loss is on this text and the end token only.
    """

    image_id: str
    load_image: Callable[[], Image.Image]
    prompt: str
    answer: str

    def __post_init__(self) -> None:
        """Refuse an example that teaches nothing.

        Raises:
            DataFormatError: If the answer is blank.
        """
        if not self.answer.strip():
            raise DataFormatError(
                f"Nothing to learn from picture {self.image_id!r}: its answer is blank; expected some text. "
                "Leave the example out."
            )


def schedule_batches(num_examples: int, *, batch_size: int, num_batches: int, seed: int) -> list[list[int]]:
    """Lay down which examples form which batch, before anything is trained.

    Every pass is a fresh permutation cut into batches; a pass's last batch may be smaller. The order depends
    on nothing but these arguments, so arms with other layers, ranks or learning rates see the same batches.

    Args:
        num_examples: Examples to draw from, at least 1.
        batch_size: Examples per batch.
        num_batches: Batches wanted, over as many passes as that takes.
        seed: Seed of the order.

    Returns:
        `num_batches` lists of example indices.

    Raises:
        OptionError: If there is no example.

    Example:
        >>> [len(batch) for batch in schedule_batches(5, batch_size=2, num_batches=4, seed=0)]
        [2, 2, 1, 2]
    """
    if num_examples < 1:
        raise OptionError("Nothing to tune on: got 0 examples; expected at least one. Check --split and --limit.")
    stream = _batches(num_examples, batch_size=batch_size, generator=np.random.default_rng(seed))
    return [next(stream) for _ in range(num_batches)]


def plan_batches(num_examples: int, options: TuningOptions) -> list[list[int]]:
    """Lay down which examples form which batch of a whole run.

    Args:
        num_examples: Examples in the training set.
        options: How to train.

    Returns:
        Places of the examples, batch by batch.

    Raises:
        OptionError: If there is no example.
    """
    steps = options.count_steps(num_examples)
    return schedule_batches(
        num_examples,
        batch_size=options.batch_size,
        num_batches=steps * options.gradient_accumulation_steps,
        seed=options.seed,
    )


def _batches(num_examples: int, *, batch_size: int, generator: np.random.Generator) -> Iterator[list[int]]:
    """Cut an endless run of permutations into batches.

    Yields:
        Example indices of the next batch.
    """
    while True:
        order = generator.permutation(num_examples).tolist()
        for start in range(0, num_examples, batch_size):
            yield order[start : start + batch_size]
