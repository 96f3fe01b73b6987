"""Where a result comes from: versions, commit, seed, device, and hashes of what went in."""

import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE, SCHEMA = "provenance.json", "provenance/1"
"""Where a run folder keeps its provenance."""

PACKAGES = ("headimpact", "torch", "transformers", "peft", "numpy", "pillow", "pycocotools", "tokenizers")


def collect_provenance(**facts: Any) -> dict[str, Any]:
    """Gather versions of this machine and the facts of this run as a JSON object.

    Holds no host name, user name or time of day, so equal runs have equal provenance.

    Args:
        **facts: What the run knows itself: model, revision, seed, device, dtype, hashes.

    Returns:
        A JSON-serialisable mapping with `versions`, `git_commit` (None outside a checkout) and the facts.
    """
    return {"versions": _versions(), "git_commit": _git_commit(), **facts}


def hash_texts(texts: Iterable[str]) -> str:
    """Hash an ordered list of texts to 16 hexadecimal digits.

    Example:
        >>> hash_texts(["a", "b"]) == hash_texts(["ab"])
        False
    """
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", errors="surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Hash a file's bytes to 16 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def hash_options(options: Mapping[str, Any]) -> str:
    """Hash options by their sorted representation to 16 hexadecimal digits."""
    return hash_texts(f"{name}={options[name]!r}" for name in sorted(options))


def _versions() -> dict[str, str]:
    """List the versions that numbers may depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """Name the commit of the source checkout that runs, or None for an installed package."""
    here = Path(__file__).resolve().parent
    try:
        inside = subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name],
            capture_output=True,
            check=False,
        )
        if inside.returncode:
            return None
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
