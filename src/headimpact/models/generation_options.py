"""How a model writes its answers here: searched, never sampled, so that the same input gives the same text."""

import copy
from typing import Any

from headimpact.models.chats import end_of_answer
from headimpact.models.loading import LoadedModel


def searched_generation(loaded: LoadedModel, *, max_new_tokens: int, num_beams: int = 1) -> Any:
    """Take the model's generation config and fix what decides the search.

    An answer ends where the model's config says, and at the token with which the chat template ends one: tuning teaches
    that one, and some checkpoints' configs do not name it.

    Args:
        loaded: Model and processor.
        max_new_tokens: Longest answer in tokens.
        num_beams: Beams of the search; 1 is greedy.

    Returns:
        A `GenerationConfig`; the model's own is left as it is.
    """
    options = copy.deepcopy(loaded.model.generation_config)
    tokenizer = loaded.processor.tokenizer
    fixed = {
        "max_new_tokens": max_new_tokens,
        "max_length": None,
        "num_beams": num_beams,
        "do_sample": False,
        "temperature": None,
        "top_p": None,
        "top_k": None,
        "return_dict_in_generate": False,
    }
    for name, value in fixed.items():
        setattr(options, name, value)
    ends = tokenizer.eos_token_id if options.eos_token_id is None else options.eos_token_id
    options.eos_token_id = sorted({*(ends if isinstance(ends, list) else [ends]), end_of_answer(loaded)})
    if options.pad_token_id is None:
        options.pad_token_id = tokenizer.pad_token_id
    return options
