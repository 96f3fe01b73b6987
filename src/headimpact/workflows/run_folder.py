"""A run's folder: claimed once, finished or resumed, never half-described."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from headimpact.core.artifacts import atomic_file, refuse_used, write_json
from headimpact.core.errors import OptionError, OutputInUseError
from headimpact.core.provenance import collect_provenance

PROVENANCE_SCHEMA = "provenance/1"
IN_PASSING = frozenset({"out", "overwrite", "resume", "dry_run", "json", "config"})
"""Options that change nothing in the result, so a resumed run may differ in them."""


def claim_run(config: Any, *, done_file: str) -> bool:
    """Take a run's output folder into use, or find that its work is done.

    Without `--resume` a folder that holds something is refused. With it, a missing or empty folder is
    started, an unfinished one is gone on with if its options are the same, a finished one is left alone.

    Args:
        config: Dataclass of the command, with `out`, `overwrite` and, where it can resume, `resume`.
        done_file: The file that only a finished run holds.

    Returns:
        True where the run is finished already and nothing needs to be done.

    Raises:
        OutputInUseError: If the folder is in use and neither `overwrite` nor `resume` is on, or if it
            belongs to something else.
        OptionError: If an unfinished run was started with other options; the message names them.
    """
    out = Path(config.out)
    if config.overwrite:
        refuse_foreign(out)
        remove_run(out)
    elif not getattr(config, "resume", False):
        refuse_used(out, overwrite=False)
    elif out.is_dir() and any(out.iterdir()):
        check_same_options(config, out)
        return (out / done_file).is_file()
    out.mkdir(parents=True, exist_ok=True)
    write_config(config, out / "config.yaml")
    return False


def write_config(config: Any, path: Path) -> None:
    """Write a command's options as YAML that `--config` reads back."""
    content = {name: _plain(value) for name, value in _options(config).items() if name not in {"config", "json"}}
    with atomic_file(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def write_provenance(out: Path, **facts: Any) -> dict[str, Any]:
    """Write `provenance.json` of a run and give its content."""
    content = collect_provenance(**facts)
    write_json(out / "provenance.json", content, schema=PROVENANCE_SCHEMA)
    return content


def check_same_options(config: Any, out: Path) -> None:
    """Refuse to go on with a run that was started with other options.

    Raises:
        OutputInUseError: If the folder holds no run of this tool.
        OptionError: If an option that matters differs.
    """
    path = out / "config.yaml"
    if not path.is_file():
        raise OutputInUseError(f"Cannot resume: {out} holds files but no config.yaml of a run. Choose another --out.")
    earlier = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in _options(config).items():
        now, then = _plain(value), earlier.get(name)
        if name not in IN_PASSING and now != then:
            raise OptionError(
                f"Cannot resume {out}: --{name.replace('_', '-')} is {now!r} now and was {then!r} when the run "
                "began. Give the same options, or another --out."
            )


def refuse_foreign(out: Path) -> None:
    """Refuse to overwrite a folder that no run of this tool made.

    Raises:
        OutputInUseError: If the folder holds something, but no `config.yaml`.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "config.yaml").is_file()):
        raise OutputInUseError(
            f"Will not overwrite {out}: it was not written by headimpact (no config.yaml). Choose another --out."
        )


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


def _plain(value: Any) -> Any:
    """Turn paths and tuples into what YAML holds."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
