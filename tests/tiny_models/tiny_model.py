"""What the contract tests must know of a tiny checkpoint besides its files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """A tiny vision-language model with random weights, saved like any checkpoint: real classes, no download.

    Args:
        save: Writes config, weights, processor and tokenizer into an empty folder.
        tower: Parts of module names that belong to the vision side.
        mixing: Ends of the names of the tower's modules that let its tokens see each other; zeroing their weights
            makes every token depend on its own pixels alone.
        patch_embedding: Ends of the names of the tower's first projection.
        channel_first: Whether that projection, where it is linear, takes a patch channel by channel instead of pixel by
            pixel.
        filter_reach: Pixels of the processed picture by which the resizing filter reaches beyond a square.
        tokens_per_pixel: Most image tokens that one processed pixel may move: 1 unless features are resized.
        drops_empty_tiles: Whether the model knows a row's padding tiles by their zeros alone; noise there would make
            tiles of them that have no tokens.
        class_tokens: Whether class tokens stay among the image keys: they see the whole picture and have no place,
            so where image features are is looked up without mixing.
        interleaves: Whether an answer sees pictures that have text between them.
    """

    save: Callable[[Path], None]
    tower: tuple[str, ...] = ("vision_tower", "vision_model", "visual")
    mixing: tuple[str, ...] = ("attn.out_proj", "attn.proj", "attention.out_proj")
    patch_embedding: tuple[str, ...] = ("patch_embedding", "patch_embed.proj")
    channel_first: bool = False
    filter_reach: int = 2
    tokens_per_pixel: int = 1
    drops_empty_tiles: bool = False
    class_tokens: bool = False
    interleaves: bool = True
