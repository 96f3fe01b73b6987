"""Read and check what the commands that build data sets were given."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from headimpact.core.errors import DataFormatError, OptionError, UnknownNameError
from headimpact.core.registry import unknown_name_message
from headimpact.data.build.key_objects import KeyObjectRule
from headimpact.data.build.parts import CHECKS
from headimpact.data.build.picture_builder import BuildRule
from headimpact.data.build.questions import QuestionRule
from headimpact.data.entries import Fault
from headimpact.data.formats.jsonl_writer import PLACINGS
from headimpact.data.splits import check_shares
from headimpact.workflows.dataset_configs import BuildCocoConfig, KeyObjectOptions


def build_rule(config: KeyObjectOptions, *, seed: int = 0, keep_file_names: bool = False) -> BuildRule:
    """Gather the rules from a command's options.

    Raises:
        OptionError: If an option is out of range.
    """
    return BuildRule(
        key_objects=KeyObjectRule(
            instances=known_word(config.instance_rule, ("named", "union", "single"), "--instance-rule"),
            crowds=known_word(config.crowd_rule, ("refuse", "ignore", "include"), "--crowd-rule"),
            **{
                field.name: getattr(config, field.name)
                for field in dataclasses.fields(KeyObjectRule)
                if field.name not in {"instances", "crowds"}
            },
        ),
        questions=QuestionRule(
            most_per_kind=config.questions_per_kind,
            num_choices=config.question_choices,
            largest_count=config.largest_count,
            smallest_area_share=config.question_area_share,
            smallest_gap=config.smallest_gap,
            seed=seed,
        ),
        keep_file_names=keep_file_names,
    )


def read_shares(words: Sequence[str]) -> dict[str, float]:
    """Read splits with their shares, as in `train=0.5`.

    Raises:
        OptionError: If a word is of another form, or the shares do not add up to 1.
    """
    shares: dict[str, float] = {}
    for word in words:
        name, _, number = word.partition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            raise OptionError(f"--splits: given {word!r}; expected NAME=SHARE, as in train=0.5.") from None
    check_shares(shares)
    return shares


def raise_faults(faults: Sequence[Fault], what: str) -> None:
    """Refuse an input for its faults.

    Raises:
        DataFormatError: Always; its `faults` holds them all.
    """
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    of_pictures = all(fault.image_id is not None for fault in faults)
    advice = "Mend them, or pass --skip-bad to leave these pictures out." if of_pictures else "Mend them."
    raise DataFormatError(
        f"Cannot build from {what}: {count}, first {faults[0]} {advice}", faults=list(map(str, faults))
    )


def known_word(value: str, known: Sequence[str], option: str) -> Any:
    """Check a word of an option.

    Raises:
        UnknownNameError: If it is unknown.
    """
    if value not in known:
        raise UnknownNameError(unknown_name_message(f"value of {option}", value, known))
    return value


def check_build_options(config: BuildCocoConfig) -> None:
    """Refuse options that cannot be carried out, before anything is read.

    Raises:
        DataFormatError: If a file or folder is missing.
        OptionError: If a number is out of range, or the source would be written over.
        UnknownNameError: If a word is unknown.
    """
    known_word(config.images_as, PLACINGS, "--images-as")
    known_word(config.check_pictures, CHECKS, "--check-pictures")
    for name in ("limit", "workers"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise OptionError(f"--{name} is {value}; expected 1 or more.")
    for path in (config.instances, config.captions):
        if not path.is_file():
            raise DataFormatError(f"File not found: {path}. Pass COCO's instances_NAME.json and captions_NAME.json.")
    if not config.images.is_dir():
        raise DataFormatError(f"Folder not found: {config.images}. Pass the folder of the pictures as --images.")
    for path in (config.instances, config.captions, config.images):
        if path.resolve().is_relative_to(config.out.resolve()):
            raise OptionError(f"Cannot write over the source: {config.out} holds {path}. Choose another --out.")
