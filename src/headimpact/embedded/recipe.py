"""Makes the embedded checkpoint: ``python -m headimpact.embedded.recipe --out DIR``.

In: a seed. Out: ``DIR/checkpoint``, a folder that loads through transformers, with a model card.
"""

import argparse
import logging
from pathlib import Path

from headimpact.embedded.architecture import Size, build_processor
from headimpact.embedded.corpus import corpus_texts
from headimpact.embedded.tokenizer import train_tokenizer
from headimpact.embedded.training import Plan, TrainingRun

logger = logging.getLogger(__name__)

SMOKE_PLAN = Plan(
    steps=6,
    minutes=1.0,
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
    parser.add_argument("--learning-rate", type=float, default=Plan.learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a tiny model and a few steps")
    parser.add_argument("--resume", action="store_true", help="go on from the state in --out")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    plan = SMOKE_PLAN
    if not options.smoke:
        plan = Plan(
            steps=options.steps,
            minutes=options.minutes,
            learning_rate=options.learning_rate,
            seed=options.seed,
        )
    run_recipe(out=options.out, plan=plan, resume=options.resume)


def run_recipe(*, out: Path, plan: Plan, resume: bool = False) -> Path:
    """Train the small VLM, measure it, and write its folder.

    Args:
        out: Folder for state file, log and checkpoint.
        plan: How to train.
        resume: Go on from ``out/state.pt`` if it is there.

    Returns:
        The checkpoint's folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(corpus_texts(seed=plan.seed))
    run = TrainingRun(plan=plan, tokenizer=tokenizer, folder=out)
    if resume and run.state_path.exists():
        run.resume()
        logger.info("Resumed at step %d.", run.step)
    run.train()
    return write_checkpoint(run.model, build_processor(tokenizer), folder=out / "checkpoint")


def write_checkpoint(model, processor, *, folder: Path) -> Path:
    """Write model and processor; weights are stored in half precision and load as float32.

    Args:
        model: The trained VLM.
        processor: Its processor.
        folder: Where to.

    Returns:
        `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half() for name, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=weights)
    processor.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
