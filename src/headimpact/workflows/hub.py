"""Data folders to and from the hub's formats."""

from pathlib import Path

from tqdm import tqdm

from headimpact.core.artifacts import atomic_folder
from headimpact.core.errors import DataFormatError
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats import read_dataset
from headimpact.data.formats.hub_card import CARD_FILE
from headimpact.data.formats.hub_columns import require_datasets
from headimpact.data.formats.hub_reader import copy_rows, find_columns, open_hub_dataset
from headimpact.data.formats.hub_writer import HUB_FORMATS, by_split
from headimpact.data.formats.jsonl import METADATA_FILE
from headimpact.data.formats.questions import add_questions, check_questions
from headimpact.workflows.answers import print_answer
from headimpact.workflows.dataset import read_checked, split_sizes
from headimpact.workflows.picture_configs import BuildHubConfig, ExportConfig
from headimpact.workflows.run_folder import find_run, write_config, write_provenance


def export_command(config: ExportConfig) -> None:
    """Write a data folder in one of the hub's formats.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    HUB_FORMATS[config.format]
    require_datasets()
    if find_run(config, done_file=CARD_FILE):
        print_answer([f"finished already: {config.out}"], {"out": str(config.out)}, as_json=config.json)
        return
    dataset = read_checked(config.data, images=config.images, skip_bad=config.skip_bad)
    dataset = add_questions(dataset) if check_questions(dataset) else dataset
    refuse_nothing(dataset, config.data)
    splits = {split: len(samples) for split, samples in by_split(dataset).items()}
    if not config.dry_run:
        with atomic_folder(config.out, overwrite=config.overwrite) as folder:
            HUB_FORMATS.load(config.format)(dataset, folder)
            write_config(config, folder / "config.yaml")
    verb = "would write" if config.dry_run else "wrote"
    print_answer(
        [
            f"{verb} {len(dataset)} pictures as {config.format} to {config.out}",
            *(f"  split {split}: {count}" for split, count in splits.items()),
            *(f"  left out, {reason}: {count}" for reason, count in dataset.skipped.items()),
        ],
        {"out": str(config.out), "pictures": len(dataset), "splits": splits, "left_out": dataset.skipped},
        as_json=config.json,
    )


def build_hub_command(config: BuildHubConfig) -> None:
    """Make a data folder of a data set in one of the hub's formats.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    if find_run(config, done_file=METADATA_FILE):
        print_answer([f"finished already: {config.out}"], {"out": str(config.out)}, as_json=config.json)
        return
    splits = open_hub_dataset(config.source, revision=config.revision)
    wanted = {name: getattr(config, f"{name}_column") for name in ("image", "captions", "mask", "category")}
    columns = {split: find_columns(rows.features or {}, wanted, word=config.category) for split, rows in splits.items()}
    if config.dry_run:
        lines = [f"split {split}: {found}" for split, found in columns.items()]
        print_answer(["dry run, nothing was written", *lines], {"splits": list(splits)}, as_json=config.json)
        return
    root = Path(config.source) if Path(config.source).is_dir() else None
    with atomic_folder(config.out, overwrite=config.overwrite) as folder:
        for _ in tqdm(copy_rows(splits, folder, columns=columns, root=root), desc="copy", unit="picture", leave=False):
            pass
        dataset = read_dataset(folder)
        check_questions(dataset)
        write_config(config, folder / "config.yaml")
        facts = {"source": config.source, "revision": config.revision, "data_fingerprint": dataset.fingerprint}
        write_provenance(folder, command="dataset build hub", **facts)
    print_answer(
        [
            f"wrote {len(dataset) + len(dataset.skips)} pictures to {config.out}",
            *(f"  split {split}: {count}" for split, count in split_sizes(dataset).items()),
            *(f"  without use so far, {reason}: {count}" for reason, count in dataset.skipped.items()),
        ],
        {
            "out": str(config.out),
            "pictures": len(dataset) + len(dataset.skips),
            "splits": split_sizes(dataset),
            "skipped": dataset.skipped,
        },
        as_json=config.json,
    )


def refuse_nothing(dataset: KeyObjectDataset, folder: Path) -> None:
    """Refuse to export a data set without a picture.

    Raises:
        DataFormatError: If there is none.
    """
    if not len(dataset):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.skipped.items()) or "no picture at all"
        raise DataFormatError(f"Nothing to export in {folder}: {reasons}. A picture needs a caption and a mask.")
