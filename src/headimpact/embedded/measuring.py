"""Measures a checkpoint on held-out scenes with greedy decoding, through its own processor."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from headimpact.embedded.attributes import Scene
from headimpact.embedded.language import CAPTION_STYLES, ORDINARY_STYLE, Turn, caption_turns, question_turns
from headimpact.embedded.layout import scene_generator
from headimpact.embedded.tasks import TASKS

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor


@torch.inference_mode()
def generate_answers(
    model: "LlavaForConditionalGeneration",
    processor: "LlavaProcessor",
    *,
    scenes: Sequence[Scene],
    prompts: Sequence[str],
    batch_size: int = 64,
) -> list[str]:
    """Answer one prompt a picture, greedily.

    Args:
        model: The VLM.
        processor: Its processor.
        scenes: The pictures.
        prompts: One prompt a picture.
        batch_size: Pictures in one pass.

    Returns:
        The answers, stripped.
    """
    answers: list[str] = []
    for start in range(0, len(scenes), batch_size):
        chosen = slice(start, start + batch_size)
        texts = [_chat(processor, prompt) for prompt in prompts[chosen]]
        pictures = [Image.fromarray(scene.pixels) for scene in scenes[chosen]]
        inputs = processor(images=pictures, text=texts, return_tensors="pt", padding=True)
        tokens = model.generate(**inputs, max_new_tokens=40, do_sample=False)
        new_tokens = tokens[:, inputs["input_ids"].shape[1] :]
        answers += [text.strip() for text in processor.batch_decode(new_tokens, skip_special_tokens=True)]
    return answers


def measure_checkpoint(
    model: "LlavaForConditionalGeneration", processor: "LlavaProcessor", *, count: int = 256, seed: int = 1000
) -> dict[str, float]:
    """Measure captions, questions and tasks on scenes the model was not trained on.

    Args:
        model: The VLM.
        processor: Its processor.
        count: Pictures for each figure; figures of single questions use those pictures that have one.
        seed: Seed of the scenes; their split is `validation`.

    Returns:
        Name -> share in [0, 1]: key words and exact captions with the ordinary prompt, exact captions
        in each style (``style/...``), exact answers to each kind of question (``question/...``), and
        exact captions in each task (``task/...``). Higher is better.
    """
    was_training = model.training
    model.eval()
    scenes = [TASKS["describe"].draw(_generator(seed, index)) for index in range(count)]
    figures: dict[str, float] = {}
    for name, style in CAPTION_STYLES.items():
        answers = generate_answers(model, processor, scenes=scenes, prompts=[style.prompt] * count)
        wanted = [next(turn.answer for turn in caption_turns(scene) if turn.kind == name) for scene in scenes]
        figures[f"style/{name}"] = _share(answers, wanted)
        if name == ORDINARY_STYLE:
            figures |= _word_figures(answers, scenes)
    figures |= _question_figures(model, processor, scenes=scenes, seed=seed)
    for name in ("where", "wording"):
        task = TASKS[name]
        drawn = [task.draw(_generator(seed, index)) for index in range(count)]
        answers = generate_answers(model, processor, scenes=drawn, prompts=[task.prompt] * count)
        figures[f"task/{name}"] = _share(answers, [task.write_caption(scene) for scene in drawn])
    model.train(was_training)
    return figures


def _question_figures(
    model: "LlavaForConditionalGeneration", processor: "LlavaProcessor", *, scenes: Sequence[Scene], seed: int
) -> dict[str, float]:
    """Ask up to six questions a picture and give the share of right answers to each kind."""
    asked: list[tuple[Scene, Turn]] = []
    for index, scene in enumerate(scenes):
        turns = question_turns(scene)
        order = np.random.default_rng([seed, index]).permutation(len(turns))[:6]
        asked += [(scene, turns[place]) for place in order]
    answers = generate_answers(
        model, processor, scenes=[scene for scene, _ in asked], prompts=[turn.prompt for _, turn in asked]
    )
    right = defaultdict(list)
    for answer, (_, turn) in zip(answers, asked, strict=True):
        right[f"question/{turn.kind}"].append(answer == turn.answer)
        right["question/all"].append(answer == turn.answer)
    return {name: float(np.mean(values)) for name, values in sorted(right.items())}


def _word_figures(answers: Sequence[str], scenes: Sequence[Scene]) -> dict[str, float]:
    """Give the share of captions with the main object's word, for each attribute."""
    figures = {}
    for name in ("colour", "shape", "texture"):
        figures[f"word/{name}"] = float(
            np.mean(
                [
                    getattr(scene.main_object, name) in answer.split()
                    for answer, scene in zip(answers, scenes, strict=True)
                ]
            )
        )
    is_both = [
        {scene.main_object.colour, scene.main_object.shape} <= set(answer.split())
        for answer, scene in zip(answers, scenes, strict=True)
    ]
    crowded = [both for both, scene in zip(is_both, scenes, strict=True) if len(scene.objects) > 1]
    return figures | {
        "word/colour and shape": float(np.mean(is_both)),
        "word/colour and shape, with distractors": float(np.mean(crowded)) if crowded else float("nan"),
    }


def _share(answers: Sequence[str], wanted: Sequence[str]) -> float:
    """Give the share of answers that match exactly."""
    return float(np.mean([answer == expected for answer, expected in zip(answers, wanted, strict=True)]))


def _generator(seed: int, index: int) -> np.random.Generator:
    """Return the generator of a held-out picture."""
    return scene_generator(seed=seed, split="validation", index=index)


def _chat(processor: "LlavaProcessor", prompt: str) -> str:
    """Put a prompt about one picture into the chat template."""
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    text: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return text
