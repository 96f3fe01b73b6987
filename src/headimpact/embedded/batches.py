"""Packs several independent turns about one picture into one sequence behind one image prefix.

A sequence is ``<s>User: `` + 100 image tokens + turn 1 + turn 2 + ... Each turn sees the prefix and,
causally, itself; its position ids start again behind the prefix. So one pass gives the same logits
as one ordinary pass a turn, and the picture is computed once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from headimpact.embedded.attributes import BACKGROUNDS, COLOURS, SHAPES, SIDE, TEXTURES, TOKEN_SIDE, Scene
from headimpact.embedded.language import CAPTION_STYLES, ORDINARY_STYLE, Turn, caption_turns, question_turns
from headimpact.embedded.tokenizer import ANSWER_MARK, EOS, IMAGE, PROMPT_MARK

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

IMAGE_TOKENS = (SIDE // TOKEN_SIDE) ** 2
IGNORED = -100
CAPTIONS_A_PICTURE = 3
QUESTIONS_A_PICTURE = 7
_MAIN_WEIGHT = 0.5
_OTHER_WEIGHTS = {"texture": 6.0, "shape": 3.0, "colour": 2.0}
LENGTH_STEP = 32
"""Sequences are padded to a multiple of this, so that few different shapes occur."""


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """A batch of pictures with several turns each.

    Args:
        pixel_values: Pictures in [-1, 1].
        input_ids: Prefix and turns.
        position_ids: Positions, starting again behind the prefix at each turn.
        attention_mask: Who sees whom, bool.
        labels: At each position the next token of an answer, or -100.
    """

    pixel_values: Float[torch.Tensor, "batch 3 height width"]
    input_ids: Int[torch.Tensor, "batch keys"]
    position_ids: Int[torch.Tensor, "batch keys"]
    attention_mask: Bool[torch.Tensor, "batch 1 queries keys"]
    labels: Int[torch.Tensor, "batch keys"]


class TurnEncoder:
    """Turns text into token ids, remembering texts it has seen.

    Args:
        tokenizer: The VLM's tokenizer.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast") -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}
        self.prefix = self._encode(f"<s>{PROMPT_MARK}") + [tokenizer.convert_tokens_to_ids(IMAGE)] * IMAGE_TOKENS

    def encode_turn(self, turn: Turn) -> tuple[list[int], list[int]]:
        """Return the ids of a turn and the label at each of them.

        Args:
            turn: Prompt and answer.

        Returns:
            Ids of everything behind the image tokens without the last one (nothing follows it),
            and labels of the same length: the next token where it belongs to the answer, else -100.
        """
        question = self._encode(f"\n{turn.prompt}{ANSWER_MARK}")
        answer = self._encode(f" {turn.answer}{EOS}")
        labels = [IGNORED] * (len(question) - 1) + answer
        return (question + answer)[:-1], labels

    def _encode(self, text: str) -> list[int]:
        """Encode a text once."""
        if text not in self._known:
            self._known[text] = self._tokenizer.encode(text, add_special_tokens=False)
        return self._known[text]


def choose_turns(
    scene: Scene,
    rng: np.random.Generator,
    *,
    captions: int = CAPTIONS_A_PICTURE,
    questions: int = QUESTIONS_A_PICTURE,
) -> list[Turn]:
    """Choose the turns to train on: the ordinary caption, other styles, and questions.

    Questions about an object that is named by a cue and is not the main one are drawn most often: to
    find an object by its texture is what the model learns last.

    Args:
        scene: The picture.
        rng: Source of the choice.
        captions: Number of caption turns, the ordinary one included.
        questions: Number of questions.

    Returns:
        The turns, ordinary caption first.
    """
    by_kind = {turn.kind: turn for turn in caption_turns(scene)}
    others = [name for name in CAPTION_STYLES if name != ORDINARY_STYLE]
    chosen = [by_kind[ORDINARY_STYLE]]
    chosen += [by_kind[others[index]] for index in rng.permutation(len(others))[: captions - 1]]
    asked = question_turns(scene)
    weights = np.array([_MAIN_WEIGHT if turn.is_about_main else _OTHER_WEIGHTS[_cue(turn)] for turn in asked])
    order = rng.choice(len(asked), min(questions, len(asked)), replace=False, p=weights / weights.sum())
    return chosen + [asked[index] for index in order]


def _cue(turn: Turn) -> str:
    """Return the attribute by which a question names its object."""
    return turn.kind.rpartition("_by_")[2]


def pack_batch(scenes: Sequence[Scene], turns: Sequence[Sequence[Turn]], *, encoder: TurnEncoder) -> PackedBatch:
    """Pack pictures and their turns into one batch, padded at the end.

    Args:
        scenes: The pictures.
        turns: The turns of each picture.
        encoder: Turns text into token ids.

    Returns:
        Tensors for `packed_logits`.
    """
    prefix = len(encoder.prefix)
    encoded = [[encoder.encode_turn(turn) for turn in row] for row in turns]
    length = prefix + max(sum(len(ids) for ids, _ in row) for row in encoded)
    length = math.ceil(length / LENGTH_STEP) * LENGTH_STEP
    input_ids = np.zeros((len(scenes), length), dtype=np.int64)
    position_ids = np.zeros((len(scenes), length), dtype=np.int64)
    labels = np.full((len(scenes), length), IGNORED, dtype=np.int64)
    owner = np.full((len(scenes), length), -1, dtype=np.int16)
    input_ids[:, :prefix] = encoder.prefix
    position_ids[:, :prefix] = np.arange(prefix)
    owner[:, :prefix] = 0
    for row, turns_of_row in enumerate(encoded):
        start = prefix
        for number, (ids, targets) in enumerate(turns_of_row, start=1):
            span = slice(start, start + len(ids))
            input_ids[row, span], labels[row, span], owner[row, span] = ids, targets, number
            position_ids[row, span] = np.arange(prefix, prefix + len(ids))
            start += len(ids)
    pixels = np.stack([scene.pixels for scene in scenes]).astype(np.float32).transpose(0, 3, 1, 2)
    return PackedBatch(
        pixel_values=torch.from_numpy(np.ascontiguousarray(pixels / 127.5 - 1)),
        input_ids=torch.from_numpy(input_ids),
        position_ids=torch.from_numpy(position_ids),
        attention_mask=torch.from_numpy(_block_mask(owner))[:, None],
        labels=torch.from_numpy(labels),
    )


def _block_mask(owner: Int[np.ndarray, "batch keys"]) -> Bool[np.ndarray, "batch queries keys"]:
    """Let each position see the prefix (owner 0) and its own turn, up to itself."""
    causal = np.tri(owner.shape[1], dtype=bool)
    same = owner[:, :, None] == owner[:, None, :]
    return np.asarray((same | (owner[:, None, :] == 0)) & causal)


def dense_targets(scenes: Sequence[Scene]) -> dict[str, torch.Tensor]:
    """Return what each image token shows, to warm the vision tower up with.

    A token shows the object that covers most of it, if that is 0.4 or more; class 0 means none.

    Args:
        scenes: The pictures.

    Returns:
        Name of the target -> classes ``[batch, image_tokens]``: ``colour``, ``shape``, ``texture``,
        ``main`` (1 on the main object) and ``background``; and ``pixels`` -> 1.0 where a pixel of
        the token shows any object, ``[batch, image_tokens, 64]``.
    """
    cells = SIDE // TOKEN_SIDE
    names = {"colour": tuple(COLOURS), "shape": SHAPES, "texture": TEXTURES}
    targets = {key: np.zeros((len(scenes), IMAGE_TOKENS), dtype=np.int64) for key in (*names, "main", "background")}
    pixels = np.zeros((len(scenes), IMAGE_TOKENS, TOKEN_SIDE**2), dtype=np.float32)
    for row, scene in enumerate(scenes):
        masks = np.stack([item.mask for item in scene.objects])
        coverage = masks.reshape(len(masks), cells, TOKEN_SIDE, cells, TOKEN_SIDE).mean(axis=(2, 4))
        coverage = coverage.reshape(len(masks), IMAGE_TOKENS)
        squares = masks.any(axis=0).reshape(cells, TOKEN_SIDE, cells, TOKEN_SIDE).swapaxes(1, 2)
        pixels[row] = squares.reshape(IMAGE_TOKENS, TOKEN_SIDE**2)
        shown, is_shown = coverage.argmax(axis=0), coverage.max(axis=0) >= 0.4
        for key, values in names.items():
            classes = np.array([values.index(getattr(item, key)) + 1 for item in scene.objects])
            targets[key][row] = np.where(is_shown, classes[shown], 0)
        is_main = np.array([item is scene.main_object for item in scene.objects])
        targets["main"][row] = is_shown & is_main[shown]
        targets["background"][row] = tuple(BACKGROUNDS).index(scene.background)
    return {key: torch.from_numpy(value) for key, value in (targets | {"pixels": pixels}).items()}
