"""The stages for Python: the same steps as on the command line, from objects in memory to a run's folder.

Every option of a command is a keyword here, with the same name, meaning and default; what the objects
themselves say (model, device, data folder, split) is taken from them.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from headimpact.comparison.table import ComparisonTable
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.data.dataset import KeyObjectDataset
from headimpact.evaluation.forgetting import read_passages
from headimpact.evaluation.metrics import METRICS
from headimpact.evaluation.results import METRICS_FILE, CaptionMetrics
from headimpact.scoring import SCORES
from headimpact.scoring.head_scores import JSON_FILE, HeadScores
from headimpact.selection.selection import SELECTION_FILE, Selection
from headimpact.workflows import evaluation, score_options, scoring, tuning
from headimpact.workflows.comparison import COMPARISON_FILE, compare_folders, write_comparison
from headimpact.workflows.configs import CompareConfig, DataOptions, EvaluateConfig, ScoreConfig, TuneConfig
from headimpact.workflows.dataset import check_same_pictures, prompt_for, read_split
from headimpact.workflows.forgetting import write_forgetting
from headimpact.workflows.processes import Processes
from headimpact.workflows.run_folder import find_run, started_run
from headimpact.workflows.tasks import ask_task, check_task

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel

TAKEN = (
    "model",
    "revision",
    "device",
    "dtype",
    "attn_implementation",
    "device_map",
    "quantization",
    "data",
    "limit",
    "images",
    "skip_bad",
    "dry_run",
    "config",
)
"""Options of the commands that the objects answer, or that make no sense in a program."""


def read_dataset(
    folder: str | Path,
    *,
    split: str = "all",
    limit: int | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    images: str | Path | None = None,
) -> KeyObjectDataset:
    """Read a data folder, check all of it, and take one split.

    Args:
        folder: COCO folder, or a folder with `metadata.jsonl`, pictures and mask PNGs.
        split: Name of the split; `all` for every picture. A folder without splits is split by picture.
        limit: Draw at most so many pictures.
        seed: Seed of that draw.
        skip_bad: Leave unreadable pictures out, counted, instead of refusing the folder.
        images: Folder of the pictures, where the data folder only refers to them.

    Returns:
        At least one picture with captions and a key object; others are counted in `skipped`.

    Raises:
        DataFormatError: If the folder has faults, or no picture is left.
        OptionError: If `limit` is below 1.
        UnknownNameError: If there is no such split.
    """
    options = DataOptions(
        data=Path(folder), limit=limit, skip_bad=skip_bad, images=None if images is None else Path(images)
    )
    return read_split(options, split=split, seed=seed)


def score_heads(loaded: "LoadedModel", dataset: KeyObjectDataset, *, out: str | Path, **options: Any) -> HeadScores:
    """Score every attention head: how far it looks at the key objects, beside chance.

    Args:
        loaded: The model.
        dataset: The pictures.
        out: Run folder, as of `headimpact score`; the scores are in it too.
        **options: Options of `headimpact score`: `batch_size`, `binarization`, `response`, `donors`, `seed`, ...

    Returns:
        Scores of all heads and layers.

    Raises:
        OptionError: If an option is unknown or out of range.
        HeadImpactError: As for `headimpact score`.
    """
    config = _config(ScoreConfig, loaded, dataset, out, options)
    score_options.check_options(config)
    if find_run(config, done_file=JSON_FILE):
        check_same_pictures(config.out, dataset, may_be_fewer=config.until_stable)
        return HeadScores.read(config.out)
    with started_run(config, work=scoring.WORK):
        return scoring.score_folder(loaded, dataset, config=config, prompt=prompt_for(config, dataset))


def tune(
    loaded: "LoadedModel", dataset: KeyObjectDataset, selection: Selection, *, out: str | Path, **options: Any
) -> Path:
    """Tune the selected layers with LoRA; the model in memory stays as it was.

    Args:
        loaded: The base model.
        dataset: The pictures with the captions to learn.
        selection: Which layers.
        out: Run folder, as of `headimpact tune`; losses and counts are in its `tuning.json`.
        **options: Options of `headimpact tune`: `max_steps`, `learning_rate`, `r`, `batch_size`, `seed`, ...

    Returns:
        The adapter's folder, in PEFT's format; `load_model(..., adapter=...)` takes it.

    Raises:
        OptionError: If an option is unknown or out of range.
        HeadImpactError: As for `headimpact tune`.
    """
    given = {"selection": Path(out) / SELECTION_FILE, **options}
    config = _config(TuneConfig, loaded, dataset, out, given)
    check_task(config)
    tuning.tuning_options(config, selection)
    tuning.check_same_architecture(loaded, selection)
    dataset, template = ask_task(config, dataset)
    examples = tuning.task_examples(config, dataset, template)
    processes = Processes(cpu=loaded.device.type == "cpu")
    if processes.hear(processes.is_main and find_run(config, done_file=tuning.DONE_FILE)):
        check_same_pictures(config.out, dataset)
    else:
        tuning.tune_run(loaded, dataset, examples, selection, config=config, processes=processes)
    return Path(out) / "adapter"


def evaluate(loaded: "LoadedModel", dataset: KeyObjectDataset, *, out: str | Path, **options: Any) -> CaptionMetrics:
    """Generate captions and measure them against the references.

    Args:
        loaded: The model; an adapter that it was loaded with tells what the run is in a comparison.
        dataset: The pictures.
        out: Run folder, as of `headimpact evaluate`; predictions and metrics are in it.
        **options: Options of `headimpact evaluate`: `max_new_tokens`, `num_beams`, `metrics`, `batch_size`, ...

    Returns:
        Values of all metrics, and their parts per picture.

    Raises:
        OptionError: If an option is unknown or out of range.
        HeadImpactError: As for `headimpact evaluate`.
    """
    config = _config(EvaluateConfig, loaded, dataset, out, options)
    evaluation.check_options(config)
    dataset, template = ask_task(config, dataset)
    prompt = prompt_for(config, dataset) if template is None else template.prompt
    evaluation.check_metrics(config, dataset, evaluation.task_requests(dataset, prompt=prompt, template=template))
    _, arm, used = evaluation.describe_adapter(loaded.adapter)
    if find_run(config, done_file=METRICS_FILE):
        check_same_pictures(config.out, dataset)
        return evaluation.read_caption_metrics(config.out)
    passages = () if config.forgetting is None else read_passages(Path(config.forgetting))
    with started_run(config, work=evaluation.WORK):
        write_forgetting(loaded, passages, config=config)
        return evaluation.evaluate_model(
            loaded, dataset, config=config, prompt=prompt, template=template, arm=arm, used=used
        )


def compare_runs(
    runs: Sequence[str | Path] | str | Path,
    *,
    primary: str = "exact_match",
    margin: float = 0.02,
    bootstrap: int = 2000,
    seed: int = 0,
    out: str | Path | None = None,
) -> ComparisonTable:
    """Compare evaluated runs: did the chosen layers beat random ones?

    Args:
        runs: Folders of `evaluate`, or folders of such folders; or one such folder.
        primary: The one metric that the verdict is about; name it before looking.
        margin: Smallest difference in it that would matter.
        bootstrap: Resamples behind the intervals.
        seed: Seed of the resamples.
        out: Run folder to write the table to, as of `headimpact compare`; nothing is written if left out.

    Returns:
        The table with its verdict.

    Raises:
        HeadImpactError: As for `headimpact compare`.
    """
    folders = _paths(runs)
    table = compare_folders(folders, primary=primary, margin=margin, resamples=bootstrap, seed=seed)
    if out is not None:
        config = CompareConfig(
            runs=folders, primary=primary, margin=margin, bootstrap=bootstrap, seed=seed, out=Path(out)
        )
        find_run(config, done_file=COMPARISON_FILE)
        with started_run(config, work=(COMPARISON_FILE,)):
            write_comparison(table, config.out, seed=seed)
    return table


def build_report(
    runs: Sequence[str | Path] | str | Path, out: str | Path, *, overwrite: bool = False, title: str | None = None
) -> Path:
    """Make one self-contained HTML page from run folders.

    Args:
        runs: Run folders, or folders of run folders; or one of them.
        out: The HTML file.
        overwrite: Replace a file that is there.
        title: Title of the page.

    Returns:
        The file.

    Raises:
        HeadImpactError: As for `headimpact report`.
    """
    from headimpact.report.builder import build_report as build

    return build(_paths(runs), Path(out), overwrite=overwrite, title=title)


def list_families() -> tuple[str, ...]:
    """List the model families that can be scored."""
    from headimpact.models.families import FAMILIES

    return tuple(FAMILIES)


def list_scores() -> tuple[str, ...]:
    """List the head scores."""
    return tuple(SCORES)


def list_metrics() -> tuple[str, ...]:
    """List the caption metrics."""
    return tuple(METRICS)


def _paths(runs: Sequence[str | Path] | str | Path) -> tuple[Path, ...]:
    """Give the paths of some folders, or of one; the letters of a text are no folders."""
    return (Path(runs),) if isinstance(runs, (str, Path)) else tuple(Path(run) for run in runs)


def _config(
    config_class: type[Any], loaded: "LoadedModel", dataset: KeyObjectDataset, out: str | Path, options: dict[str, Any]
) -> Any:
    """Build a command's config from objects and options.

    Raises:
        DataFormatError: If there is no picture.
        OptionError: If an option is unknown, a text where a number is expected, or a name or folder stands for a model
            or a data set.
    """
    for given, what, loader in ((loaded, "model", "load_model"), (dataset, "data set", "read_dataset")):
        if isinstance(given, (str, Path)):
            raise OptionError(
                f"The {what} is {str(given)!r}; expected it loaded. Pass headimpact.{loader}({str(given)!r})."
            )
    if not len(dataset):
        raise DataFormatError(f"No picture: the data set of {dataset.root} is empty; expected at least one.")
    known = {field.name: field.default for field in dataclasses.fields(config_class) if field.name not in TAKEN}
    kinds = get_type_hints(config_class)
    for name, value in options.items():
        if name not in known:
            raise OptionError(unknown_name_message("option", name, known))
        if isinstance(value, str) and not {str, Path} & {kinds[name], *get_args(kinds[name])}:
            raise OptionError(f"Option {name!r} is the text {value!r}; expected it without quotes.")
    if "adapter" in known:
        options = {"adapter": loaded.adapter, **options}
    options = {
        name: (value,) if isinstance(value, str) and isinstance(known[name], tuple) else value
        for name, value in options.items()
    }
    splits = {sample.split for sample in dataset}
    return config_class(
        model=loaded.name,
        revision=loaded.revision,
        device=str(loaded.device),
        dtype=loaded.dtype_name,
        data=dataset.root,
        out=Path(out),
        **{"split": str(splits.pop()) if len(splits) == 1 and None not in splits else "all", **options},
    )
