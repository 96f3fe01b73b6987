"""Java programs that pycocoevalcap brings as jar files: found, run, and explained where they are missing."""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from headimpact.core.errors import RunFailedError

NO_JAVA = (
    "no program 'java' was found on the path; install a Java runtime (Debian, Ubuntu: apt install default-jre-headless)"
)


def find_java() -> str | None:
    """Give the program `java`, or None where there is none."""
    return shutil.which("java")


def package_folder(package: str) -> Path | None:
    """Find the folder of an installed package without importing it; None where it is not installed.

    Args:
        package: Dotted name, as in an import statement.
    """
    spec = importlib.util.find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return folders[0] if folders else None


def run_java(arguments: Sequence[str], *, needed_by: str, text: str = "", folder: Path | None = None) -> str:
    """Run `java`, which must be there, and give what it wrote.

    Texts go in and come out as UTF-8 whatever the machine's language is.

    Args:
        arguments: What follows `java` on the line.
        needed_by: What it is run for, for the message.
        text: What it reads.
        folder: Folder to run in.

    Returns:
        Its standard output.

    Raises:
        RunFailedError: If it cannot be started or ends with an error.
    """
    command = [find_java() or "java", "-Dfile.encoding=UTF-8", *arguments]
    try:
        done = subprocess.run(
            command, input=text.encode("utf-8", errors="replace"), capture_output=True, check=False, cwd=folder
        )
    except OSError as error:
        raise RunFailedError(f"{needed_by} cannot start Java: {error}. Check the Java installation.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise RunFailedError(
            f"{needed_by} failed: Java ended with exit code {done.returncode} and said: "
            f"{said[0] if said else 'nothing'}. Check the Java installation, or leave it out."
        )
    return done.stdout.decode("utf-8", errors="replace")
