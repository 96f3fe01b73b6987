"""Options of `experiment`, and of `demo` and `study`, which are the same with other defaults."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from headimpact.workflows.configs import (
    MetricOptions,
    ModelOptions,
    OptionalCount,
    OptionalPath,
    OptionalText,
    OutputOptions,
)

Names = Annotated[tuple[str, ...], arg(metavar="NAMES")]


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(MetricOptions, ModelOptions, OutputOptions):
    """The whole experiment: score, choose arms, tune and evaluate each, compare, report."""

    step: str = "all"
    """`all`; or one at a time: `arms` (score, choose, list the arms), `tune` (and evaluate), `compare` (files only)."""
    arm: Names = ()
    """Tune and evaluate these arms only, as in a job array; `--step arms` lists them."""
    model: str = "embedded"
    """`embedded`, a checkpoint folder, or a hub id."""
    batch_size: int = 32
    """Pictures per optimizer step, and per forward pass when scoring."""
    data: OptionalPath = None
    """Data folder with the splits calibration, train, validation and test; scenes of --task are made if left out."""
    images: OptionalPath = None
    """Folder of the pictures, where the data folder only refers to them."""
    skip_bad: bool = False
    """Leave unreadable pictures out, counted, instead of refusing the folder."""
    task: str = "where"
    """Task of the scenes that are made."""
    calibration: int = 128
    """Scenes for scoring."""
    train: int = 1024
    """Scenes for tuning."""
    validation: int = 128
    """Scenes for the grid."""
    test: int = 256
    """Scenes for the evaluation."""
    tune_task: str = "captioning"
    """What is learned: `captioning`, or `vqa`, the data set's closed questions."""
    evaluate_tasks: Names = ()
    """What is evaluated, each in a comparison of its own: `captioning`, `vqa`; what is learned if left out."""
    answer_template: OptionalText = None
    """How questions are put and answers worded; the data set's, else that of the model's family if left out."""
    arms: Names = ("top-k", "bottom-k", "last-n", "random", "depth-matched", "all", "top-heads", "gate-gradient")
    """Arms beside the untuned model; `random-heads` is a ninth."""
    k: OptionalCount = None
    """Layers per arm; a seventh of all layers if neither k nor budget is given."""
    budget: OptionalText = None
    """Trainable parameters per arm to fill with layers, `0.01%` or `204800`, in place of k."""
    random_draws: int = 19
    """Draws of random layers; 19 are the fewest that can show a benefit at 5 %."""
    depth_matched_draws: int = 5
    """Draws of depth-matched random layers."""
    random_head_draws: int = 5
    """Draws of the arm `random-heads`."""
    exhaustive: bool = False
    """Take every k-subset of layers instead of random draws."""
    seeds: int = 3
    """Tuning seeds per arm."""
    r: tuple[int, ...] = (8,)
    """LoRA rank; of several, each is a comparison of its own."""
    lora_alpha: int = 16
    """LoRA scale: the update is multiplied by lora_alpha / r."""
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    """Attention projections that LoRA adapts."""
    max_steps: tuple[int, ...] = (50,)
    """Optimizer steps per arm; several make a grid, settled for each arm on `validation`."""
    learning_rate: tuple[float, ...] = (2e-2,)
    """Peak learning rate; several make a grid, settled for each arm on `validation`; the default was tried on the
    embedded model only."""
    gradient_accumulation_steps: int = 1
    """Batches per optimizer step."""
    gradient_checkpointing: bool = False
    """Tune with what enters each layer only kept, and run the layers again for their gradients."""
    bf16: bool = False
    """Tune in bfloat16 (autocast), whatever the format of the weights is."""
    primary: Names = ("exact_match",)
    """The one metric that a verdict is about: one name, or one for each evaluated task; name it before looking."""
    margin: tuple[float, ...] = (0.05,)
    """Smallest difference in it that would matter: one number, or one for each evaluated task."""
    bootstrap: int = 2000
    """Resamples behind the intervals."""
    baseline: OptionalText = "untrained"
    """`untrained`: score the same architecture with random weights beside the model."""
    cache_language_inputs: bool = True
    """Keep what lies below the language model in memory from run to run, for every picture tuned or tested on."""
    evaluation_batch_size: int = 64
    """Responses generated at once."""
    max_new_tokens: int = 32
    """Longest response."""
    tokens: int = 512
    """Tokens of a picture with prompt and response, for the estimate before the start."""
    tflops: float = 100.0
    """Trillions of operations a second that the device reaches (TFLOP/s), for the same estimate."""


@dataclass(frozen=True, kw_only=True)
class DemoConfig(ExperimentConfig):
    """The whole job in one process, in minutes: score, select, tune every arm, evaluate, compare, report."""

    calibration: int = 96
    """Scenes for scoring."""
    train: int = 512
    """Scenes for tuning."""
    test: int = 128
    """Scenes for the evaluation."""
    arms: Names = ("top-k", "bottom-k", "last-n", "random", "depth-matched")
    """Arms beside the untuned model."""
    random_draws: int = 3
    """Draws of random layers."""
    depth_matched_draws: int = 1
    """Draws of depth-matched random layers."""
    seeds: int = 1
    """Tuning seeds per arm."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig(DemoConfig):
    """The whole job with every set of k layers in place of random draws, as docs/protocol.md has it."""
