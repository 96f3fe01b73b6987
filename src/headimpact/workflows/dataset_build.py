"""Build a data set from COCO's lists: read them, build part by part in processes, write the tables and the card."""

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headimpact import __version__
from headimpact.core.artifacts import read_json, write_json
from headimpact.core.errors import DataFormatError, RunFailedError
from headimpact.core.provenance import hash_file
from headimpact.data.build.built_picture import PictureLines
from headimpact.data.build.coco_pictures import CocoSource
from headimpact.data.build.licences import find_licences
from headimpact.data.build.mentions import build_mention_finder
from headimpact.data.build.parts import (
    PART_SIZE,
    PARTS_FOLDER,
    PartSettings,
    PartTask,
    build_parts,
    part_path,
    read_part,
    write_part,
)
from headimpact.data.build.picture_builder import BuildRule
from headimpact.data.build.statistics import DatasetStatistics, collect_statistics
from headimpact.data.build.tables import choose_splits, write_tables
from headimpact.data.entries import Fault
from headimpact.data.folder_files import read_id
from headimpact.data.formats.coco_records import CocoRecords, read_coco_records
from headimpact.data.formats.jsonl_writer import unique_stems
from headimpact.data.inspection import usable_processors
from headimpact.data.splits import rank_ids
from headimpact.report.dataset_card import CARD_FILE, write_card
from headimpact.workflows.answers import print_answer
from headimpact.workflows.dataset_configs import BuildCocoConfig
from headimpact.workflows.dataset_options import build_rule, check_build_options, raise_faults, read_shares
from headimpact.workflows.run_folder import find_run, remove_run, started_run, write_provenance

_SOURCE_FILE, _SOURCE_SCHEMA = "source.json", "build_source/1"


@dataclass(frozen=True)
class _Plan:
    """What is built from what."""

    records: CocoRecords
    chosen: Sequence[int]
    stems: Sequence[str]
    settings: PartSettings
    hashes: Mapping[str, str]


def build_coco_command(config: BuildCocoConfig) -> None:
    """Build a data set from COCO's lists.

    Raises:
        DataFormatError: If the lists or, without `--skip-bad`, pictures have faults; all are listed, and nothing stays.
        OptionError: If an option is out of range, or a build was begun with others.
        OutputInUseError: If the folder holds something and neither `--overwrite` nor `--resume` is on.
        RunFailedError: If the file system refuses; finished parts stay for `--resume`.
        UnknownNameError: If a licence or a word of an option is unknown.
    """
    shares, rule = (
        read_shares(config.splits),
        build_rule(config, seed=config.seed, keep_file_names=config.images_as == "reference"),
    )
    check_build_options(config)
    if find_run(config, done_file=CARD_FILE):
        shutil.rmtree(config.out / PARTS_FOLDER, ignore_errors=True)
        _answer(config, collect_statistics(config.out), verb="finished already:")
        return
    plan = _read_plan(config, rule)
    if config.dry_run:
        _answer_dry_run(config, plan)
        return
    with started_run(config, work=[f"{PARTS_FOLDER}/part-*.jsonl"]):
        _fill_parts(config.out, plan, workers=config.workers or usable_processors())
        faults = [fault for index in range(_count_parts(plan)) for fault in read_part(config.out, index)[1]]
        if faults:
            remove_run(config.out)
            raise_faults(faults, "COCO's lists")
        found = _write_dataset(config, plan, shares)
    _answer(config, found, verb="built")


def _read_plan(config: BuildCocoConfig, rule: BuildRule) -> _Plan:
    """Read the lists and choose the pictures.

    Raises:
        DataFormatError: If the lists have faults, or no picture is left.
        UnknownNameError: If a licence is unknown.
    """
    paths = {"instances": config.instances, "captions": config.captions}
    with ThreadPoolExecutor() as pool:
        hashes = pool.map(hash_file, paths.values())
        records = read_coco_records(config.instances, config.captions)
    if records.faults:
        raise_faults(records.faults, f"{config.instances.name} and {config.captions.name}")
    chosen = _choose_pictures(config, records)
    names = [Path(str(records.pictures[place].file_name)).stem for place in chosen]
    settings = PartSettings(
        folder=None if config.dry_run else config.out,
        source=CocoSource(
            images=config.images.resolve(),
            instances=config.instances.name,
            captions=config.captions.name,
            categories=records.categories,
            licences=records.licences,
        ),
        finder=build_mention_finder(records.categories.values()),
        rule=rule,
        images_as=config.images_as,
        check=config.check_pictures,
        skip_bad=config.skip_bad,
    )
    return _Plan(records, chosen, unique_stems(names), settings, dict(zip(paths, hashes, strict=True)))


def _choose_pictures(config: BuildCocoConfig, records: CocoRecords) -> list[int]:
    """Choose the pictures by licence, and draw among them.

    Raises:
        DataFormatError: If none is left.
        UnknownNameError: If a licence is unknown.
    """
    chosen = list(range(len(records.pictures)))
    if config.license:
        wanted = find_licences(records.licences, config.license)
        chosen = [place for place in chosen if read_id(records.pictures[place].license) in wanted]
    if config.limit is not None:
        by_id = {str(read_id(records.pictures[place].id)): place for place in chosen}
        chosen = sorted(by_id[one] for one in rank_ids(by_id, seed=config.seed, purpose="limit")[: config.limit])
    if not chosen:
        raise DataFormatError(
            f"No picture left of {len(records.pictures)} in {config.instances.name}: "
            f"licences {list(config.license) or 'all'}. Choose others."
        )
    return chosen


def _count_parts(plan: _Plan) -> int:
    """Count the parts of a build."""
    return -(-len(plan.chosen) // PART_SIZE)


def _tasks(plan: _Plan, indices: Sequence[int]) -> Iterator[PartTask]:
    """Make the tasks of some parts ready, each when it is its turn.

    Yields:
        The tasks.
    """
    for index in indices:
        part = slice(index * PART_SIZE, (index + 1) * PART_SIZE)
        places = plan.chosen[part]
        yield PartTask(
            index=index,
            records=[plan.records.pictures[place] for place in places],
            stems=plan.stems[part],
            objects=[plan.records.objects.of(place) for place in places],
            captions=[plan.records.captions.of(place) for place in places],
        )


def _fill_parts(out: Path, plan: _Plan, *, workers: int) -> None:
    """Build the parts that are missing.

    Raises:
        DataFormatError: If the lists are not those that the build was begun with.
        RunFailedError: If the file system refuses.
    """
    try:
        for folder in (PARTS_FOLDER, "images", "masks/objects"):
            if folder != "images" or plan.settings.images_as != "reference":
                (out / folder).mkdir(parents=True, exist_ok=True)
        _claim_source(out / PARTS_FOLDER / _SOURCE_FILE, plan.hashes)
        missing = [index for index in range(_count_parts(plan)) if not part_path(out, index).is_file()]
        done = len(plan.chosen) - sum(len(plan.chosen[i * PART_SIZE : (i + 1) * PART_SIZE]) for i in missing)
        with tqdm(total=len(plan.chosen), initial=done, desc="build", unit="picture", leave=False, delay=1.0) as bar:
            for result in build_parts(_tasks(plan, missing), plan.settings, workers=min(workers, len(missing) or 1)):
                write_part(out, result)
                bar.update(result.num_pictures)
    except OSError as error:
        raise RunFailedError(
            f"Cannot write {out}: {error.strerror or error}. Free space, then run again with --resume."
        ) from error


def _claim_source(path: Path, hashes: Mapping[str, str]) -> None:
    """Note the lists that a build was begun with, or refuse others.

    Raises:
        DataFormatError: If they are others.
    """
    if path.is_file():
        if read_json(path, schema=_SOURCE_SCHEMA) != dict(hashes):
            raise DataFormatError(f"Cannot resume {path.parents[1]}: the lists have changed. Pass --overwrite.")
    else:
        write_json(path, hashes, schema=_SOURCE_SCHEMA)


def _write_dataset(config: BuildCocoConfig, plan: _Plan, shares: Mapping[str, float]) -> DatasetStatistics:
    """Write tables and card from the finished parts; the card is last.

    Returns:
        What is in it.

    Raises:
        DataFormatError: If no picture was kept.
    """
    out = config.out

    def pictures() -> Iterator[PictureLines]:
        for index in range(_count_parts(plan)):
            yield from read_part(out, index)[0]

    splits = choose_splits(pictures(), shares=shares, seed=config.seed)
    if not splits:
        reasons = Counter(json.loads(picture.decision)["reason"] for picture in pictures())
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        remove_run(out)
        raise DataFormatError(
            f"No picture has a clear key object: {len(plan.chosen)} were looked at ({counted}). Loosen the rule, or "
            "give more."
        )
    write_provenance(out, seed=config.seed, inputs=dict(plan.hashes))
    write_tables(out, pictures, splits=splits, info=_info(config, plan, shares))
    found = write_card(out)
    shutil.rmtree(out / PARTS_FOLDER)
    return found


def _info(config: BuildCocoConfig, plan: _Plan, shares: Mapping[str, float]) -> dict[str, Any]:
    """Give what the data set says of itself."""
    rule = plan.settings.rule
    return {
        "description": "Pictures with masks of their key objects, descriptions and closed questions",
        "made_by": f"headimpact {__version__}, dataset build coco",
        "source": {
            "description": plan.records.info.get("description"),
            "instances": config.instances.name,
            "captions": config.captions.name,
            "hashes": dict(plan.hashes),
        },
        "pictures": "reference" if config.images_as == "reference" else "inside",
        "rule": dataclasses.asdict(rule.key_objects),
        "questions": dataclasses.asdict(rule.questions),
        "splits": dict(shares),
        "seed": config.seed,
        "license": list(config.license),
        "limit": config.limit,
        "categories_without_synonyms": list(plan.settings.finder.unknown),
    }


def _answer_dry_run(config: BuildCocoConfig, plan: _Plan) -> None:
    """Say what would be built; pictures are decided on and read, nothing is written.

    Raises:
        DataFormatError: If pictures have faults.
    """
    tasks = _tasks(plan, range(_count_parts(plan)))
    faults: list[Fault] = []
    kept = 0
    for result in build_parts(tasks, plan.settings, workers=config.workers or usable_processors()):
        faults += result.faults
        kept += sum(bool(line.entry) for line in result.pictures())
    if faults:
        raise_faults(faults, "COCO's lists")
    print_answer(
        [f"dry run, nothing was written: would build {kept} of {len(plan.chosen)} pictures into {config.out}"],
        {"out": str(config.out), "pictures": kept, "decided": len(plan.chosen)},
        as_json=config.json,
    )


def _answer(config: BuildCocoConfig, found: DatasetStatistics, *, verb: str) -> None:
    """Say what was built."""
    splits = ", ".join(f"{count} {name}" for name, count in found.splits.items())
    left_out = {reason: count for reason, count in found.reasons.items() if reason != "kept"}
    unknown = found.info.get("categories_without_synonyms") or []
    lines = [
        f"{verb} {found.pictures} of {found.decided} pictures ({splits})",
        *(f"  left out, {reason}: {count}" for reason, count in left_out.items()),
        f"captions: {found.captions}, questions: {sum(found.questions.values())}",
    ]
    if unknown:
        lines.append(f"no synonyms are known for {', '.join(unknown)}: only the plain name counts as naming it")
    lines += [f"folder: {config.out}", f"look through it: headimpact dataset sheet {config.out} --out sheet.html"]
    content = {
        "out": str(config.out),
        "pictures": found.pictures,
        "decided": found.decided,
        "splits": dict(found.splits),
        "left_out": left_out,
        "captions": found.captions,
        "questions": sum(found.questions.values()),
        "categories_without_synonyms": unknown,
    }
    print_answer(lines, content, as_json=config.json)
