"""Byte-level BPE tokenizers built in code: any text encodes, nothing to download."""

import functools

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = (
    "a red circle on a blue background",
    "Describe the main object. What colour is the large square near the top?",
    "User: Assistant: USER: ASSISTANT: system You are a helpful assistant. user assistant",
)


@functools.cache
def _byte_tokenizer(special: tuple[str, ...]) -> str:
    """Train a small byte-level BPE tokenizer; any text encodes."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS * 3, trainer=trainer)
    return core.to_str()


def byte_tokenizer(*special: str, **options: object) -> PreTrainedTokenizerFast:
    """Make a tokenizer whose first ids are the special tokens, in order; options go to transformers' class."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_byte_tokenizer(special)), clean_up_tokenization_spaces=False, **options
    )
