"""Export: a selection becomes the config of another trainer; an adapter is checked against a model."""

import dataclasses
import sys

from headimpact.core.artifacts import atomic_file, refuse_used
from headimpact.core.errors import OptionError
from headimpact.selection.exports import export_selection
from headimpact.selection.selection import Selection
from headimpact.workflows.answers import print_answer
from headimpact.workflows.export_configs import ExportSelectionConfig
from headimpact.workflows.opening import find_adapter
from headimpact.workflows.tuning import selection_file


def export_selection_command(config: ExportSelectionConfig) -> None:
    """Write a trainer's config to a file, or to stdout where none is named; with `--check` check an adapter.

    Raises:
        DataFormatError: If there is no selection, or it is broken.
        UnknownNameError: If there is no such trainer, or the model has no such projection.
        OptionError: If options are missing or do not go together, a number is out of range, `--out` is a folder, or
            an adapter does not fit.
        OutputInUseError: If the file exists and `--overwrite` is off.
        RunFailedError: If the file system refuses.
    """
    if config.check is not None or config.model is not None:
        _check(config)
        return
    if config.selection is None or config.to is None:
        raise OptionError("--selection and --to are needed, or --check and --model. See headimpact list exports.")
    selection = Selection.read(selection_file(config.selection))
    selection = dataclasses.replace(
        selection,
        r=selection.r if config.r is None else config.r,
        target_modules=tuple(config.target_modules or selection.target_modules),
    )
    text = export_selection(selection, to=config.to, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout)
    if config.out is None and not config.json:
        sys.stdout.write(text)
        return
    if config.out is not None:
        if config.out.is_dir():
            raise OptionError(f"--out is a folder: {config.out}; expected a file. Add a file name to it.")
        refuse_used(config.out, overwrite=config.overwrite)
        with atomic_file(config.out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    names, count = selection.target_module_names(), selection.count_parameters()
    content = {
        "to": config.to,
        "out": None if config.out is None else str(config.out),
        "text": text,
        "modules": list(names),
        "trainable_parameters": count.trainable,
        "trainable_share": count.share,
    }
    lines = [f"export: {config.out}", f"modules: {len(names)}", f"trainable: {count}"]
    print_answer(lines, content, as_json=config.json)


def _check(config: ExportSelectionConfig) -> None:
    """Say that every weight of an adapter finds a module.

    Raises:
        OptionError: If one does not, or the options do not go together.
        HeadImpactError: If the adapter or the model cannot be read.
    """
    if config.check is None or config.model is None:
        raise OptionError("--check and --model go together; expected both. Name the adapter and its base model.")
    if config.selection is not None or config.to is not None:
        raise OptionError("--check reads an adapter, --selection and --to write a config; expected one of the two.")
    folder = find_adapter(config.check)
    from headimpact.models.adapter_check import check_adapter

    places = check_adapter(config.model, folder)
    lines = [
        f"adapter: {folder}",
        f"every weight found its module: {places.weights} weights on {len(places.modules)} modules",
        *(f"  {name}" for name in places.modules),
    ]
    content = {"adapter": str(folder), "weights": places.weights, "modules": list(places.modules)}
    print_answer(lines, content, as_json=config.json)
