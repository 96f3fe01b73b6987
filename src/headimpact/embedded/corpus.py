"""Texts that the tokenizer is trained on: every wording of the scene world."""

from collections.abc import Iterator

from headimpact.embedded.language import caption_turns, question_turns, write_reworded
from headimpact.embedded.layout import draw_main_scene, scene_generator
from headimpact.embedded.tokenizer import BOS, PROMPT_MARK


def corpus_texts(*, seed: int, count: int = 1000) -> Iterator[str]:
    """Yield prompts and answers of drawn scenes, as they stand in a conversation.

    Args:
        seed: Seed of the scenes.
        count: Number of scenes.

    Yields:
        One text at a time.
    """
    yield f"{BOS}{PROMPT_MARK}"
    for index in range(count):
        scene = draw_main_scene(scene_generator(seed=seed, split="pretrain", index=index))
        for turn in caption_turns(scene) + question_turns(scene):
            yield f"\n{turn.prompt}"
            yield f" {turn.answer}"
        yield f" {write_reworded(scene, scene.main_object)}"
