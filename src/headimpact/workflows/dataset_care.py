"""Look after a built data set: count what is in it, leaf through it, drop what is bad."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from headimpact.core.artifacts import atomic_file, refuse_used
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.data.build.dropping import drop_pictures, find_marked, read_marked
from headimpact.data.build.statistics import AREA_STEP, collect_statistics
from headimpact.data.dataset import Skip
from headimpact.data.entries import FolderContent
from headimpact.data.formats import read_content
from headimpact.data.inspection import inspect_content
from headimpact.report.builder import check_html_name
from headimpact.report.contact_sheet import Sheet, count_shown, draw_sample, render_sheet
from headimpact.report.dataset_card import CARD_FILE, write_card
from headimpact.workflows.answers import print_answer
from headimpact.workflows.dataset_configs import DropConfig, SheetConfig, StatsConfig


def stats_command(config: StatsConfig) -> None:
    """Count what is in a data set.

    Raises:
        DataFormatError: If the folder is none in our own format, or a table is broken.
    """
    found = collect_statistics(config.data)
    content = {**dataclasses.asdict(found), "area_step": AREA_STEP}
    lines = [f"{config.data}: {found.pictures} pictures, {found.captions} captions"]
    if found.decided:
        lines[0] += f", of {found.decided} looked at"
    tables: dict[str, Mapping[Any, int]] = {
        "splits": found.splits,
        "left out": {reason: count for reason, count in found.reasons.items() if reason != "kept"},
        "categories of key objects": found.categories,
        "share covered": {
            f"{step * AREA_STEP:.2f} to {(step + 1) * AREA_STEP:.2f}": n for step, n in found.area_steps.items()
        },
        "key categories a picture": found.key_objects,
        "questions": found.questions,
        "licences": found.licences,
    }
    for title, counts in tables.items():
        if counts:
            width = max(len(str(name)) for name in counts)
            lines += [f"{title}:", *(f"  {name!s:<{width}}  {count:>8,}" for name, count in counts.items())]
    print_answer(lines, content, as_json=config.json)


def sheet_command(config: SheetConfig) -> None:
    """Write a contact sheet.

    Raises:
        DataFormatError: If the folder is in no known format or its lists have faults and no sound picture.
        OptionError: If a number is out of range, there is no such page, or `--out` is no name of an HTML file.
        OutputInUseError: If the file exists and `--overwrite` is off.
    """
    if config.page < 1 or config.page_size < 1:
        raise OptionError(f"--page is {config.page}, --page-size {config.page_size}; expected 1 or more.")
    check_html_name(config.out)
    refuse_used(config.out, overwrite=config.overwrite)
    content = read_content(config.data, images=config.images)
    entries = [
        entry
        for entry in content.entries
        if config.category is None or any(one.category == config.category for one in entry.objects)
    ]
    page = entries[(config.page - 1) * config.page_size : config.page * config.page_size]
    if content.faults and not content.entries:
        raise DataFormatError(
            f"Nothing to show: no picture of {config.data} is sound, first {content.faults[0]} Mend them.",
            faults=[str(fault) for fault in content.faults],
        )
    if not page:
        raise OptionError(
            f"Nothing to show: {len(entries)} pictures of category {config.category or 'any'!r}, page {config.page}. "
            "Choose another category or page."
        )
    inspection = inspect_content(FolderContent(entries=tuple(page), faults=content.faults))
    skipped = [f"{skip.image_id}: {skip.reason}" for skip in inspection.skips if isinstance(skip, Skip)]
    sheet = Sheet(
        title=f"Contact sheet of {config.data.resolve().name}",
        shown=count_shown(page, total=len(entries), page=config.page, size=config.page_size),
        pictures=tuple(draw_sample(sample) for sample in inspection.samples),
        faults=(*map(str, inspection.faults), *skipped),
    )
    with atomic_file(config.out) as temporary:
        temporary.write_text(render_sheet(sheet), encoding="utf-8")
    print_answer(
        [f"contact sheet: {config.out}", sheet.shown, *(f"  not shown: {fault}" for fault in sheet.faults)],
        {"sheet": str(config.out), "shown": len(sheet.pictures), "of": len(entries), "not_shown": list(sheet.faults)},
        as_json=config.json,
    )


def drop_command(config: DropConfig) -> None:
    """Drop marked pictures from a data set.

    Raises:
        DataFormatError: If the list or the data set cannot be read, or an id was never in it.
        RunFailedError: If the file system refuses.
    """
    marked = read_marked(config.list)
    found = find_marked(config.data, marked)
    if not config.dry_run and found:
        drop_pictures(config.data, found)
        if (config.data / CARD_FILE).is_file():
            write_card(config.data)
    verb = "would drop" if config.dry_run else "dropped"
    before = len(marked) - len(found)
    lines = [f"{verb} {len(found)} pictures from {config.data}"]
    print_answer(
        [*lines, *([f"dropped before: {before}"] if before else [])],
        {"dropped": sorted(found), "dropped_before": before, "dry_run": config.dry_run},
        as_json=config.json,
    )
