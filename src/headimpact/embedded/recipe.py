"""Makes the embedded checkpoint: ``python -m headimpact.embedded.recipe --out DIR``.

In: a seed. Out: ``DIR/checkpoint``, a folder that loads through transformers, with a model card. A run that
was killed goes on with ``--resume``.
"""

import argparse
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from headimpact.core.artifacts import atomic_folder
from headimpact.embedded.architecture import Size, build_processor
from headimpact.embedded.batches import CAPTIONS_A_PICTURE, QUESTIONS_A_PICTURE
from headimpact.embedded.card import render_card
from headimpact.embedded.corpus import corpus_texts
from headimpact.embedded.measuring import measure_checkpoint
from headimpact.embedded.tokenizer import train_tokenizer
from headimpact.embedded.training import Plan, TrainingRun

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

MEASURED_COUNT = 400
MEASURED_SEED = 1000
SMOKE_PLAN = Plan(
    steps=6,
    minutes=1.0,
    warm_batch_size=4,
    batch_size=4,
    warm_steps=2,
    size=Size(width=32, mlp_width=64, tower_layers=1, num_layers=2, num_heads=4, num_key_value_heads=2),
)


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and run the recipe.

    Args:
        arguments: Command line without the program's name; None means ``sys.argv``.
    """
    parser = argparse.ArgumentParser(description="Train the small VLM of headimpact on drawn scenes.")
    parser.add_argument("--out", type=Path, required=True, help="folder for state, log and checkpoint")
    parser.add_argument("--steps", type=int, default=Plan.steps, help="length of the schedule in steps")
    parser.add_argument("--minutes", type=float, default=Plan.minutes, help="length of the schedule in minutes")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="seed of weights and scenes")
    parser.add_argument("--smoke", action="store_true", help="a tiny model and a few steps, under a minute")
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out")
    parser.add_argument("--remark", default="", help="a sentence for the model card")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = Plan(steps=options.steps, minutes=options.minutes, seed=options.seed)
    if options.smoke:
        plan = SMOKE_PLAN
        torch.set_num_threads(1)  # threads wait for each other longer than so small a model computes
    count = 4 if options.smoke else MEASURED_COUNT
    run_recipe(out=options.out, plan=plan, resume=options.resume, measured_count=count, remark=options.remark)


def run_recipe(
    *, out: Path, plan: Plan, resume: bool = False, measured_count: int = MEASURED_COUNT, remark: str = ""
) -> Path:
    """Train the small VLM, measure it, and write its folder.

    Args:
        out: Folder for state file, log and checkpoint.
        plan: How to train.
        resume: Go on from ``out/state.safetensors`` if it is there.
        measured_count: Number of held-out pictures to measure on.
        remark: What else a reader of the model card must know about this run.

    Returns:
        The checkpoint's folder; one that was there is replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = _get_tokenizer(out / "tokenizer", seed=plan.seed, resume=resume)
    run = TrainingRun(plan=plan, tokenizer=tokenizer, folder=out)
    if resume and run.state_path.exists():
        run.resume()
        logger.info("Resumed at step %d.", run.step)
    run.train()
    processor = build_processor(tokenizer)
    run.model.set_attn_implementation("sdpa")
    figures = measure_checkpoint(run.model, processor, count=measured_count, seed=MEASURED_SEED)
    training = _describe_training(run, vocabulary=len(tokenizer))
    card = render_card(
        figures, size=plan.size, training=training, count=measured_count, measured_seed=MEASURED_SEED, remark=remark
    )
    return write_checkpoint(run.model, processor, folder=out / "checkpoint", card=card)


def write_checkpoint(
    model: "LlavaForConditionalGeneration", processor: "LlavaProcessor", *, folder: Path, card: str
) -> Path:
    """Write model, processor and card; weights are stored in float16 and load as float32.

    Args:
        model: The trained VLM, in float32: what its configuration then says.
        processor: Its processor.
        folder: Where to; replaced if it is there.
        card: The model card.

    Returns:
        `folder`.
    """
    with atomic_folder(folder, overwrite=True) as partial:
        weights = {name: value.half() for name, value in model.state_dict().items()}
        model.save_pretrained(partial, state_dict=weights)
        processor.save_pretrained(partial)
        (partial / "README.md").write_text(card, encoding="utf-8")
        for path in partial.iterdir():
            path.chmod(0o644)
    return folder


def _get_tokenizer(folder: Path, *, seed: int, resume: bool) -> "PreTrainedTokenizerFast":
    """Read the tokenizer of a run that goes on, else train and keep one: token ids must stay."""
    from transformers import PreTrainedTokenizerFast

    if resume and folder.exists():
        return PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer = train_tokenizer(corpus_texts(seed=seed))
    with atomic_folder(folder, overwrite=True) as partial:
        tokenizer.save_pretrained(partial)
    return tokenizer


def _describe_training(run: TrainingRun, *, vocabulary: int) -> dict[str, object]:
    """Return what the card says about the training."""
    return {
        "millions": run.model.num_parameters() / 1e6,
        "vocabulary": vocabulary,
        "steps": run.step,
        "minutes": run.elapsed / 60,
        "warm_steps": run.plan.warm_steps,
        "batch_size": run.plan.batch_size,
        "turns": CAPTIONS_A_PICTURE + QUESTIONS_A_PICTURE,
        "learning_rate": run.plan.learning_rate,
        "seed": run.plan.seed,
        "machine": f"{os.cpu_count()} CPU cores",
    }


if __name__ == "__main__":
    main()
