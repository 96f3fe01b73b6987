"""A run's folder: claimed once, finished or resumed, never half-described."""

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from headimpact.core import provenance
from headimpact.core.artifacts import atomic_file, read_json, refuse_used, write_json
from headimpact.core.errors import DataFormatError, HeadImpactError, OptionError, OutputInUseError, RunFailedError

IN_PASSING = frozenset(
    {
        "out", "overwrite", "resume", "dry_run", "json", "config", "workers", "cache_language_inputs",
        "prefix_cache", "prefix_cache_dir", "prefix_cache_gb", "step", "arm", "tokens", "tflops",
    }
)  # fmt: skip
"""Options that change nothing in the result, so a resumed run may differ in them."""

LEFTOVER = ".*.tmp"
"""Names of files and folders while they are written (`core/artifacts.py`)."""

MARK = "# options of "

ALL = ("**",)
"""Patterns of the folders of a run that shares none with others."""


def find_run(config: Any, *, done_file: str) -> bool:
    """Find out, before anything is loaded or written, whether a run may use its folder and is done already.

    Without `--resume` a folder that holds something is refused. With it, a missing or empty folder will be
    started, an unfinished one is gone on with if its options are the same, a finished one is left alone.

    Args:
        config: Dataclass of the command, with `out`, `overwrite` and, where it can resume, `resume`.
        done_file: The file that only a finished run holds.

    Returns:
        True where the run is finished already and nothing needs to be done.

    Raises:
        OutputInUseError: If the folder is in use and neither `overwrite` nor `resume` is on, or if it
            belongs to something else, such as a run of another command, which is named.
        OptionError: If a run was started with other options, or `overwrite` would delete an input; the message names
            them.
        DataFormatError: If its `config.yaml` is broken.
    """
    out = Path(config.out)
    if config.overwrite:
        refuse_foreign(out)
        refuse_inputs_inside(config)
    elif (other := other_command(config, out)) is not None:
        raise OutputInUseError(
            f"Output already exists: {out} holds a run of the command {other!r}. Choose another --out, or pass "
            "--overwrite to replace it."
        )
    elif not getattr(config, "resume", False) or out.is_file():
        if hasattr(config, "resume") and (out / "config.yaml").is_file() and not (out / done_file).is_file():
            raise OutputInUseError(
                f"Output already exists: {out} holds a run that did not finish. Pass --resume to go on with it, "
                "--overwrite to begin anew, or choose another --out."
            )
        refuse_used(out, overwrite=False)
    elif holds_something(out):
        check_same_options(config, out)
        return (out / done_file).is_file()
    return False


@contextlib.contextmanager
def started_run(config: Any, *, work: Sequence[str], own: Sequence[str] = ALL) -> Iterator[None]:
    """Start a run in its folder, and take the folder away again if it fails before any work is in it.

    What can be checked is checked before. This is for what shows only later, such as a disk that is full:
    nothing half-written stays. Work that is done (shards, parts) stays, for `--resume`.

    Args:
        config: Dataclass of the command; `find_run` has let it pass.
        work: Patterns of the files, relative to the folder, that are worth keeping.
        own: As for `start_run`.

    Yields:
        Nothing; the folder is there and holds `config.yaml`.

    Raises:
        HeadImpactError: What is raised inside; if the file system refuses.
    """
    out = Path(config.out)
    try:
        start_run(config, own=own)
        yield
    except HeadImpactError:
        if out.is_dir() and not any(path for pattern in work for path in out.glob(pattern)):
            remove_run(out)
        raise


def claim_run(config: Any, *, done_file: str) -> bool:
    """Take a run's folder into use at once, or find that its work is done.

    Args:
        config: As for `find_run`.
        done_file: The file that only a finished run holds.

    Returns:
        True where the run is finished already and nothing needs to be done.

    Raises:
        HeadImpactError: As `find_run` and `start_run` say.
    """
    if find_run(config, done_file=done_file):
        return True
    start_run(config)
    return False


def start_run(config: Any, *, own: Sequence[str] = ALL) -> None:
    """Make a run's folder, emptied where `overwrite` is on, and write what was asked for into it.

    Args:
        config: Dataclass of the command; `find_run` has let it pass.
        own: Patterns of the folders, relative to the run's, into which no other process writes; what a killed one was
            writing there is deleted.

    Raises:
        RunFailedError: If the file system refuses.
    """
    out = Path(config.out)
    try:
        if config.overwrite:
            remove_run(out)
        out.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path for pattern in own for path in out.glob(f"{pattern}/{LEFTOVER}"))
    except OSError as error:
        raise RunFailedError(f"Cannot use {out} as --out: {error.strerror or error}. Choose another --out.") from error
    write_config(config, out / "config.yaml")


def write_config(config: Any, path: Path) -> None:
    """Write a command's options as YAML that `--config` reads back; not what holds for one call only."""
    content = {
        name: _plain(value) for name, value in _options(config).items() if name not in IN_PASSING or name == "out"
    }
    with atomic_file(path) as temporary:
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        temporary.write_text(f"{_mark_of(config)}\n{text}", encoding="utf-8")


def write_provenance(out: Path, **facts: Any) -> dict[str, Any]:
    """Write `provenance.json` of a run and give its content."""
    content = provenance.collect_provenance(**facts)
    write_json(out / provenance.FILE, content, schema=provenance.SCHEMA)
    return content


def check_same_options(config: Any, out: Path) -> None:
    """Refuse to go on with a run that was started with other options.

    Raises:
        OutputInUseError: If the folder holds no run of this tool.
        OptionError: If an option that matters differs.
        DataFormatError: If `config.yaml` is broken.
    """
    path = out / "config.yaml"
    if not path.is_file():
        raise OutputInUseError(f"Cannot resume: {out} holds files but no config.yaml of a run. Choose another --out.")
    try:
        earlier = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = dict(earlier)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, ValueError) as error:
        raise DataFormatError(
            f"Cannot resume {out}: config.yaml is broken ({' '.join(str(error).split())}). Choose another --out, or "
            "pass --overwrite."
        ) from error
    for name, value in _options(config).items():
        now, then = _plain(value), known.get(name)
        if name not in IN_PASSING and now != then:
            raise OptionError(
                f"Cannot resume {out}: --{name.replace('_', '-')} is {_said(now)} now and was {_said(then)} when the "
                "run began. Give the same options, or another --out."
            )


def other_command(config: Any, out: Path) -> str | None:
    """Name the other command whose run a folder holds; None where it is this one's or no config says whose it is."""
    try:
        mark, _, _ = (out / "config.yaml").read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if not mark.startswith(MARK) or mark == _mark_of(config):
        return None
    try:
        return str(read_json(out / provenance.FILE, schema=provenance.SCHEMA)["command"])
    except (DataFormatError, KeyError):
        words = re.findall("[A-Z][a-z]*", mark.removeprefix(MARK).removesuffix("Config"))
        return " ".join(words).lower()


def _mark_of(config: Any) -> str:
    """Give the first line of a run's `config.yaml`, a comment, which tells commands apart."""
    return f"{MARK}{type(config).__name__}"


def refuse_foreign(out: Path) -> None:
    """Refuse to overwrite what is not the folder of a run of this tool.

    Many tools have a `config.yaml`, and ours may lie beside other work; so it must name this folder as its `out`.

    Raises:
        OutputInUseError: If `out` is a file, or a folder that holds something but not the `config.yaml` of its run.
    """
    if out.is_file() or (holds_something(out) and not _describes(out / "config.yaml", out)):
        raise OutputInUseError(
            f"Will not overwrite {out}: it was not written by headimpact (no config.yaml of a run there). Choose "
            "another --out."
        )


def refuse_inputs_inside(config: Any) -> None:
    """Refuse to overwrite a folder that holds an input of the very command.

    Raises:
        OptionError: If one does; the message names it.
    """
    out = Path(config.out).resolve()
    for name, value in _options(config).items():
        if name in IN_PASSING or name == "selection":  # a selection is read before, and written again
            continue
        for path in value if isinstance(value, tuple) else (value,):
            is_path = isinstance(path, Path) or name == "model"
            if is_path and Path(path).exists() and Path(path).resolve().is_relative_to(out):
                raise OptionError(
                    f"--overwrite would delete --{name.replace('_', '-')} {path}, which is in --out {config.out}. "
                    "Choose another --out."
                )


def _describes(path: Path, out: Path) -> bool:
    """Say whether a `config.yaml` is that of a run in a folder of this name; the folders above may have moved."""
    try:
        return Path(yaml.safe_load(path.read_text(encoding="utf-8"))["out"]).name == out.resolve().name
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError):
        return False


def holds_something(out: Path) -> bool:
    """Tell whether a folder holds more than what a killed process left of files it was writing."""
    return out.is_dir() and any(not path.match(LEFTOVER) for path in out.iterdir())


def remove_leftovers(found: Iterable[Path]) -> None:
    """Delete what a killed process left of files and folders it was writing."""
    for path in sorted(set(found), reverse=True):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def leftovers_of(path: Path) -> Iterable[Path]:
    """Find what killed processes left of one file or folder while they were writing it."""
    return path.parent.glob(f".{path.name}{LEFTOVER}")


def remove_run(out: Path) -> None:
    """Delete a run's folder, its description last, so a stop half-way leaves it recognisable."""
    if not out.is_dir():
        return
    for path in sorted(out.rglob("*"), key=lambda p: len(p.parts), reverse=True):
        if path == out / "config.yaml":
            continue
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    (out / "config.yaml").unlink(missing_ok=True)
    out.rmdir()


def _options(config: Any) -> Mapping[str, Any]:
    """List a config's options in order."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _said(value: Any) -> str:
    """Write an option's value for a message."""
    return "left out" if value is None else repr(value)


def _plain(value: Any) -> Any:
    """Turn paths and tuples into what YAML holds."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
