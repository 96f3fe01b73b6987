"""One frozen dataclass per command: the single source of its flags, defaults, help and YAML keys.

Values are plain; a workflow unpacks them and no kernel sees a config. Nothing here imports torch.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

OptionalText = Annotated[str | None, arg(metavar="TEXT")]
OptionalCount = Annotated[int | None, arg(metavar="INT")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]
Folders = Annotated[Positional[tuple[Path, ...]], arg(metavar="RUNS")]


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where a command writes and how it treats what is there."""

    out: Path
    """Folder (or file, for report) to write."""
    overwrite: bool = False
    """Replace an output that already exists."""
    resume: bool = False
    """Go on with a run that was stopped; start if there is none; say so and stop if it is finished."""
    dry_run: bool = False
    """Check every input, print the plan, and stop."""
    json: bool = False
    """Print the answer as JSON on stdout."""
    config: OptionalPath = None
    """YAML file with values for these options; flags win over it."""
    seed: int = 0
    """Seed of every random choice of this command."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model is loaded and how it runs."""

    model: str
    """`embedded`, a checkpoint folder, or a model id of the Hugging Face hub."""
    revision: OptionalText = None
    """Branch, tag or commit of a hub model."""
    device: str = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1` ..."""
    dtype: str = "auto"
    """`auto` (float32 on CPU, the checkpoint's on a GPU), `float32`, `bfloat16` or `float16`."""
    attn_implementation: OptionalText = None
    """Attention of transformers: `sdpa`, `eager`, `flash_attention_2` ...; the model's default if left out."""
    device_map: OptionalText = None
    """Spread a model that one device cannot hold, as in Accelerate: `auto`, `balanced`, `sequential`."""
    quantization: OptionalText = None
    """Load weights in fewer bits through bitsandbytes: `4bit` or `8bit`."""
    batch_size: int = 8
    """Rows per forward pass."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which pictures are used and with what prompt."""

    data: Path
    """COCO folder, or a folder with metadata.jsonl, pictures and mask PNGs."""
    limit: OptionalCount = None
    """Use at most this many pictures, drawn by --seed."""
    prompt: OptionalText = None
    """Prompt shown with every picture; the data set's own, else a general one, if left out."""
    images: OptionalPath = None
    """Folder of the pictures, where the data folder only refers to them."""
    skip_bad: bool = False
    """Leave unreadable pictures out, counted, instead of refusing the folder."""


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What the model is asked about every picture."""

    task: str = "captioning"
    """`captioning`, or `vqa`: the data set's closed questions."""
    answer_template: OptionalText = None
    """How questions are put and answers worded: `bare`, `short`, `choices`, `sentence` or `answer-en`; the data set's,
    else that of the model's family if left out."""


@dataclass(frozen=True, kw_only=True)
class MetricOptions:
    """What is measured, and with what."""

    tokenizer: str = "python"
    """Tokenizer of the caption metrics: `python` (no Java) or `ptb` (pycocoevalcap's)."""
    metrics: tuple[str, ...] = ()
    """Metrics to compute; those that need neither Java nor a checkpoint if left out. See `headimpact list metrics`."""
    clip_checkpoint: OptionalText = None
    """Folder or hub id of the CLIP of `clipscore` and `refclipscore`."""
    bert_checkpoint: OptionalText = None
    """Folder or hub id of the text encoder of `bertscore`."""
    bert_layer: OptionalCount = None
    """Hidden state of that encoder to compare, 0 for its embeddings; the last if left out."""


@dataclass(frozen=True, kw_only=True)
class ResponseOptions:
    """Which texts look, and which of their rows."""

    response: str = "reference"
    """Text whose tokens look: the `reference` caption or the model's `own` greedy answer."""
    captions_per_image: int = 1
    """Reference captions used per picture, averaged within the picture."""
    max_new_tokens: int = 48
    """Longest response where --response own."""
    rows: str = "predicting"
    """Which row speaks for a response token: the one `predicting` it, or the one `at` it."""
    row_reduction: str = "mean"
    """How the rows of a response are put together: mean or max."""


@dataclass(frozen=True, kw_only=True)
class RegionOptions:
    """How attention on a picture becomes a number."""

    binarization: str = "area"
    """How attention becomes a predicted region: area, mean, quantile, otsu or soft."""
    binarization_k: float = 1.0
    """Factor of the rule `mean`: tokens above k times the mean attention."""
    binarization_quantile: float = 0.8
    """Quantile of the rule `quantile`, in (0, 1)."""
    view: str = "all"
    """Where a picture enters whole and in tiles: all, global or tiles."""
    layer_aggregation: str = "mean"
    """Heads to layer: mean, max, or top-M (`top-2`: mean of the two best)."""


@dataclass(frozen=True, kw_only=True)
class ChanceOptions:
    """What the scores are held against."""

    donors: int = 64
    """Pictures whose masks stand in for a sample's own to give the chance level."""
    draws: OptionalCount = None
    """Random draws of the chance level; max(10000, 20 x layers x heads) if left out."""
    bootstrap: int = 1000
    """Bootstrap resamples of pictures behind the intervals."""
    baseline: OptionalText = None
    """`untrained`: score the same architecture with random weights beside the model."""


@dataclass(frozen=True, kw_only=True)
class StoppingOptions:
    """How many pictures are enough."""

    until_stable: bool = False
    """Stop where the k layers chosen lose under 2 % of the best k layers' score, with 95 % confidence."""
    k: OptionalCount = None
    """Number of layers whose choice must be stable; a seventh of all layers if left out."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(
    StoppingOptions, ChanceOptions, RegionOptions, ResponseOptions, ModelOptions, DataOptions, OutputOptions
):
    """Score every attention head: how far it looks at the key objects, beside chance."""

    split: str = "calibration"
    """Split to score on; `all` for every picture."""
    adapter: OptionalPath = None
    """PEFT adapter folder to put on the model first."""
    score: str = "head_impact"
    """Head score to compute; see `headimpact list scores`."""
    scores: OptionalText = None
    """More scores, names with commas between them; `all` are those of the same forward pass."""
    sinks: bool = False
    """Score once more without the sinks: image tokens that draw attention in most heads whatever the mask."""
    words: bool = False
    """Score the response's rows apart too: words that name the key object, other nouns, function words (English)."""
    examples: int = 4
    """Pictures whose attention maps are kept for the report."""
    shard_size: int = 16
    """Pictures per shard; a stopped run loses at most one shard of work."""


@dataclass(frozen=True, kw_only=True)
class SelectConfig(OutputOptions):
    """Choose the layers to tune from head scores, or single heads."""

    scores: Path
    """Folder written by `headimpact score`."""
    score: OptionalText = None
    """Which of the run's scores ranks the layers, or several by the mean of their ranks (`head_impact+auroc`); the one
    it was started with (`--score`) if left out."""
    strategy: str = "top-k"
    """How to choose; see `headimpact list strategies`."""
    k: OptionalCount = None
    """Number of layers, or of heads; a seventh of all layers if neither k nor budget is given."""
    budget: OptionalText = None
    """Trainable parameters to fill: a share (`0.01%`) or a count (`204800`); with --heads and --k the rank fills it."""
    heads: bool = False
    """Choose single heads instead of layers."""
    draw: int = 0
    """Which random draw, for the random strategies."""
    r: int = 8
    """LoRA rank that the budget is counted with."""
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    """Attention projections that LoRA will adapt."""


@dataclass(frozen=True, kw_only=True)
class TuneConfig(TaskOptions, ModelOptions, DataOptions, OutputOptions):
    """Tune the chosen layers with LoRA and save an ordinary PEFT adapter."""

    selection: Path
    """selection.json, or the folder that holds it."""
    split: str = "train"
    """Split to tune on."""
    r: OptionalCount = None
    """LoRA rank; that of the selection if left out."""
    lora_alpha: float = 16
    """LoRA scale: the update is multiplied by lora_alpha / r."""
    lora_dropout: float = 0.0
    """Dropout before the LoRA matrices."""
    target_modules: tuple[str, ...] = ()
    """Attention projections that LoRA adapts; those of the selection if left out."""
    max_steps: OptionalCount = None
    """Optimizer steps; 200 if neither they nor epochs are given."""
    epochs: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Passes over all examples, in place of --max-steps."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW; the default was tried on the embedded model only."""
    warmup_ratio: float = 0.05
    """Share of the steps spent warming up."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    lr_scheduler_type: str = "cosine"
    """Learning-rate schedule of transformers."""
    gradient_accumulation_steps: int = 1
    """Batches per optimizer step."""
    gradient_checkpointing: bool = False
    """Keep what enters each layer only, and run the layers again for their gradients: less memory, more time."""
    bf16: bool = False
    """Compute in bfloat16 (autocast), whatever the format of the weights is."""
    captions_per_image: int = 1
    """Reference captions of each picture to learn from."""
    cache_language_inputs: bool = True
    """Compute what lies below the language model once per picture, where the family allows it."""
    prefix_cache: str = "auto"
    """Compute what lies below the lowest tuned layer once and keep it on disk: `auto` (where it pays), `on`, `off`."""
    prefix_cache_dir: OptionalPath = None
    """Folder to keep it in, shared by runs; in the run's own folder, until it is finished, if left out."""
    prefix_cache_gb: float = 32.0
    """Disk space that it may take, in GB."""


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(TaskOptions, MetricOptions, ModelOptions, DataOptions, OutputOptions):
    """Let a model caption a split's pictures, or answer questions about them, and measure what it says."""

    split: str = "test"
    """Split to evaluate on."""
    adapter: OptionalPath = None
    """Run folder of `tune`, or a PEFT adapter folder."""
    max_new_tokens: int = 48
    """Longest response."""
    num_beams: int = 1
    """Beams of the search; 1 is greedy."""
    forgetting: OptionalPath = None
    """Text file, one passage a line: the loss on it is measured without pictures, before and after the tuning."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig(OutputOptions):
    """Compare evaluated runs: did the chosen layers beat random ones?"""

    runs: Folders
    """Folders written by `headimpact evaluate`, or folders of such folders."""
    primary: str = "exact_match"
    """The one metric that the verdict is about; name it before looking. Free captions hardly ever match exactly:
    `cider_d`, say, suits them."""
    margin: float = 0.02
    """Smallest difference in the primary metric that would matter."""
    bootstrap: int = 2000
    """Resamples behind the intervals."""


@dataclass(frozen=True, kw_only=True)
class ReportConfig(OutputOptions):
    """Make one self-contained HTML page from run folders."""

    runs: Folders
    """Run folders, or folders of run folders."""
    title: OptionalText = None
    """Title of the page."""


@dataclass(frozen=True, kw_only=True)
class BuildScenesConfig(OutputOptions):
    """Write a COCO-format folder of generated scenes with masks, captions and questions."""

    task: str = "describe"
    """What the captions are about; see `headimpact list tasks`."""
    count: OptionalCount = None
    """Pictures in all, spread over the splits as the four counts below are."""
    calibration: int = 128
    """Pictures for scoring and selection."""
    train: int = 1024
    """Pictures for tuning."""
    validation: int = 128
    """Pictures for choosing learning rate and steps."""
    test: int = 256
    """Pictures for the final evaluation."""


@dataclass(frozen=True, kw_only=True)
class ValidateConfig:
    """Check a whole data folder and list every fault and every skip."""

    data: Annotated[Positional[Path], arg(metavar="DATA")]
    """The folder to check."""
    images: OptionalPath = None
    """Folder of the pictures, where the data folder only refers to them."""
    json: bool = False
    """Print the answer as JSON on stdout."""


@dataclass(frozen=True, kw_only=True)
class ListConfig:
    """List what can be named: families, scores, strategies, exports, metrics, tasks or models."""

    kind: Annotated[Positional[str], arg(metavar="KIND")]
    """families, scores, strategies, exports, metrics, tasks or models."""
    json: bool = False
    """Print the answer as JSON on stdout."""
    markdown: bool = False
    """Print the answer as a Markdown table."""
