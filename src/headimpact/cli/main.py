"""The commands: parse the line, run one workflow, turn errors into one line and an exit code."""

import contextlib
import importlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import tyro
import yaml

from headimpact import __version__
from headimpact.cli.option_groups import flatten, group_options
from headimpact.cli.usage import explain_usage
from headimpact.core.errors import DataFormatError, HeadImpactError, OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.workflows import (
    advice_configs,
    configs,
    dataset_configs,
    experiment_configs,
    export_configs,
    knockout_configs,
    measure_configs,
    picture_configs,
    sensitivity_configs,
)

COMMANDS: dict[tuple[str, ...], tuple[type, str]] = {
    ("demo",): (experiment_configs.DemoConfig, "headimpact.workflows.experiment:demo_command"),
    ("study",): (experiment_configs.StudyConfig, "headimpact.workflows.experiment:study_command"),
    ("experiment",): (experiment_configs.ExperimentConfig, "headimpact.workflows.experiment:run_experiment"),
    ("dataset", "build", "scenes"): (configs.BuildScenesConfig, "headimpact.workflows.dataset:build_scenes_command"),
    ("dataset", "build", "pictures"): (
        picture_configs.BuildPicturesConfig,
        "headimpact.workflows.own_pictures:build_pictures_command",
    ),
    ("dataset", "build", "hub"): (picture_configs.BuildHubConfig, "headimpact.workflows.hub:build_hub_command"),
    ("dataset", "export"): (picture_configs.ExportConfig, "headimpact.workflows.hub:export_command"),
    ("dataset", "build", "coco"): (
        dataset_configs.BuildCocoConfig,
        "headimpact.workflows.dataset_build:build_coco_command",
    ),
    ("dataset", "validate"): (configs.ValidateConfig, "headimpact.workflows.dataset:validate_command"),
    ("dataset", "stats"): (dataset_configs.StatsConfig, "headimpact.workflows.dataset_care:stats_command"),
    ("dataset", "sheet"): (dataset_configs.SheetConfig, "headimpact.workflows.dataset_care:sheet_command"),
    ("dataset", "drop"): (dataset_configs.DropConfig, "headimpact.workflows.dataset_care:drop_command"),
    ("advise",): (advice_configs.AdviseConfig, "headimpact.workflows.advice:advise_command"),
    ("score",): (configs.ScoreConfig, "headimpact.workflows.scoring:score_command"),
    ("knockout",): (knockout_configs.KnockoutConfig, "headimpact.workflows.knockout:knockout_command"),
    ("sensitivity",): (sensitivity_configs.SensitivityConfig, "headimpact.workflows.sensitivity:sensitivity_command"),
    ("select",): (configs.SelectConfig, "headimpact.workflows.selection:select_command"),
    ("tune",): (configs.TuneConfig, "headimpact.workflows.tuning:tune_command"),
    ("evaluate",): (configs.EvaluateConfig, "headimpact.workflows.evaluation:evaluate_command"),
    ("evaluate", "--predictions"): (
        measure_configs.MeasureConfig,
        "headimpact.workflows.result_files:measure_command",
    ),
    ("compare",): (configs.CompareConfig, "headimpact.workflows.comparison:compare_command"),
    ("report",): (configs.ReportConfig, "headimpact.workflows.report:report_command"),
    ("export",): (
        export_configs.ExportSelectionConfig,
        "headimpact.workflows.selection_export:export_selection_command",
    ),
    ("list",): (configs.ListConfig, "headimpact.workflows.listing:list_command"),
}
"""Words of a command to its config and, by name so that `--help` imports no model library, its workflow.

A flag as the last word makes a form of the command in front of it, chosen where that flag is on the line.
"""

OUT_OF_MEMORY = (
    "error: out of memory. Use a smaller --batch-size and another --out; --resume goes on with the old size only."
)
ENDS = {
    "KeyboardInterrupt": "stopped. Run again with --resume to go on.",
    "MemoryError": OUT_OF_MEMORY,
    "OutOfMemoryError": OUT_OF_MEMORY,  # torch's, which is not imported here
}
"""What is said when a run ends by one of these."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program's name; `sys.argv` if left out.

    Returns:
        0 done, 1 the run itself failed, 2 wrong usage or input.

    Raises:
        RuntimeError: If something failed that no message of ours explains.
    """
    for name in ("TRANSFORMERS_VERBOSITY", "HF_HUB_VERBOSITY"):
        os.environ.setdefault(name, "error")  # what they warn of, we refuse, in one line
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("headimpact").setLevel(logging.INFO)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # misses, when imported, kernels that nothing here uses
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command, rest = split_command(words)
        if command is None:
            return 0
        config_class, workflow = COMMANDS[command]
        config = parse_config(config_class, rest, command)
        check_seed(config)
        module, _, function = workflow.partition(":")
        code = getattr(importlib.import_module(module), function)(config)
        return int(code or 0)
    except HeadImpactError as error:
        _print_error(error)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, MemoryError) as error:
        sys.stderr.write(f"headimpact: {ENDS[type(error).__name__]}\n")
        return 1
    except RuntimeError as error:
        if type(error).__name__ not in ENDS:
            raise
        sys.stderr.write(f"headimpact: {ENDS[type(error).__name__]}\n")
        return 1


def split_command(words: Sequence[str]) -> tuple[tuple[str, ...] | None, list[str]]:
    """Find the command at the start of the line.

    Returns:
        The command and what follows it; None for the command where help or the version was asked for and
        has been printed.

    Raises:
        OptionError: If the words name no command.
    """
    if words and words[0] in {"--version", "-V"}:
        sys.stdout.write(f"headimpact {__version__}\n")
        return None, []
    for length in (3, 2, 1):
        head = tuple(words[:length])
        if head in COMMANDS and not head[-1].startswith("-"):
            return _form(head, words[length:]), list(words[length:])
    given = []
    for word in words:
        if word.startswith("-"):
            break
        given.append(word)
    inside = [c for c in COMMANDS if given and c[: len(given)] == tuple(given)]
    if not words or words[0] in {"-h", "--help"} or (inside and words[len(given) :] in (["-h"], ["--help"], [])):
        sys.stdout.write(overview(inside or list(COMMANDS)))
        return None, []
    name = " ".join(given) or words[0]
    raise OptionError(unknown_name_message("command", name, [" ".join(c) for c in COMMANDS]))


def _form(command: tuple[str, ...], words: Sequence[str]) -> tuple[str, ...]:
    """Give the form of a command that a flag on the line chooses, or the command itself."""
    flags = {word.partition("=")[0] for word in words}
    return next((form for form in COMMANDS if form[:-1] == command and form[-1] in flags), command)


def overview(commands: Sequence[tuple[str, ...]]) -> str:
    """List commands with the first line of their help."""
    lines = [f"  {' '.join(c):<23} {_summary(COMMANDS[c][0])}" for c in commands]
    return "\n".join(
        [
            "usage: headimpact COMMAND [options]",
            "",
            "Which attention heads of a vision-language model look at the key objects, is it more than",
            "chance, and does tuning only their layers pay?",
            "",
            *lines,
            "",
            "headimpact COMMAND --help explains one command; headimpact demo runs all of it.",
            "",
        ]
    )


def parse_config(config_class: type, words: Sequence[str], command: Sequence[str]) -> Any:
    """Read flags over YAML over defaults into a command's config.

    Args:
        config_class: Dataclass of the command.
        words: What follows the command on the line.
        command: Words of the command, for messages.

    Returns:
        An instance of `config_class`.

    Raises:
        OptionError: If a flag is unknown, missing or of the wrong kind.
        DataFormatError: If the YAML file is missing, broken, or has unknown keys.
        SystemExit: If help was asked for; it has been printed.
    """
    values = read_config_file(config_class, _config_path(words))
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed: Any = tyro.cli(
                group_options(config_class, values),
                args=list(words),
                prog=f"headimpact {' '.join(command)}",
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
                add_help=True,
            )
            return flatten(config_class, parsed)
    except SystemExit as stop:
        if not stop.code:
            raise
        said = explain_usage(errors.getvalue(), words, config_class)
        raise OptionError(f"{said} See headimpact {' '.join(command)} --help.") from None


def read_config_file(config_class: type, path: Path | None) -> dict[str, Any]:
    """Read a YAML file of option values; keys are the flags' names with `_` or `-`.

    Raises:
        DataFormatError: If the file is missing, is no YAML mapping, or holds an unknown key.
    """
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataFormatError(f"Config file not found: {path}. Check --config.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataFormatError(f"Cannot read {path} as YAML: {' '.join(str(error).split())}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise DataFormatError(f"{path} holds a {type(content).__name__}, expected `option: value` lines.")
    kinds = get_type_hints(config_class)
    values: dict[str, Any] = {}
    for key, value in content.items():
        name = str(key).replace("-", "_")
        if name not in kinds:
            raise DataFormatError(f"{path}: {unknown_name_message('option', str(key), kinds)}")
        try:
            values[name] = as_kind(kinds[name], value)
        except (TypeError, ValueError):
            kind = " or ".join(one.__name__.replace("NoneType", "null") for one in _alternatives(kinds[name]))
            raise DataFormatError(f"{path}: option {key!s} is {value!r}, expected {kind}.") from None
    return values


def as_kind(kind: Any, value: Any) -> Any:
    """Turn a value of a YAML file into what a config holds.

    Args:
        kind: Type of the config's field: a plain type, a tuple of one, or one or None.
        value: What YAML made of the text.

    Returns:
        The value; lists become tuples, and so does a single value where the field holds several; texts become paths
        where the field holds paths. `1e-3`, which YAML takes for a text, becomes a number.

    Raises:
        TypeError: If the value is of another kind.
        ValueError: If a text is no number where one is expected.
    """
    for one in _alternatives(kind):
        if value is None and one is NoneType:
            return None
        if get_origin(one) is tuple and value is not None:
            return tuple(as_kind(get_args(one)[0], part) for part in (value if isinstance(value, list) else [value]))
        if one is Path and isinstance(value, str):
            return Path(value)
        if one is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
            return float(value)
        if one in {str, int, bool} and type(value) is one:
            return value
    raise TypeError(kind)


def check_seed(config: Any) -> None:
    """Refuse a seed that random generators do not take.

    Raises:
        OptionError: If the seed is negative.
    """
    seed = getattr(config, "seed", 0)
    if seed < 0:
        raise OptionError(f"--seed is {seed}; expected 0 or more.")


def _alternatives(kind: Any) -> tuple[Any, ...]:
    """List the types of a union, or the one type."""
    return get_args(kind) if get_origin(kind) in {Union, UnionType} else (kind,)


def _config_path(words: Sequence[str]) -> Path | None:
    """Find the value of --config before the line is parsed."""
    for position, word in enumerate(words):
        if word == "--config" and position + 1 < len(words):
            return Path(words[position + 1])
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
    return None


def _summary(config_class: type) -> str:
    """Give the first line of a config's docstring."""
    return (config_class.__doc__ or "").strip().splitlines()[0]


def _print_error(error: HeadImpactError) -> None:
    """Print an error as one line, and every single fault below it where there are several."""
    sys.stderr.write(f"headimpact: error: {' '.join(str(error).split())}\n")
    faults = getattr(error, "faults", ())
    for fault in faults if len(faults) > 1 else ():
        sys.stderr.write(f"  {' '.join(fault.split())}\n")
