"""The few kinds of error that headimpact raises on purpose.

A message follows one pattern: what happened, what was given, what was expected, what to do. The command
line prints it as one line and exits with 2 for wrong usage or input, with 1 where the run itself failed.
"""

from collections.abc import Sequence


class HeadImpactError(Exception):
    """Something the user can act on; the parent of every deliberate error. Exit code 2."""

    exit_code = 2


class UnknownNameError(HeadImpactError, KeyError):
    """A name that is in no table: a score, metric, strategy, task or split."""

    def __str__(self) -> str:
        """Give the bare message; `KeyError` alone would show it quoted."""
        return str(self.args[0]) if self.args else ""


class UnsupportedModelError(HeadImpactError, ValueError):
    """A model whose image tokens have no known place, or that is no vision-language model."""


class DataFormatError(HeadImpactError, ValueError):
    """Input files that break their format; `faults` holds every fault found, one line each."""

    def __init__(self, message: str, *, faults: Sequence[str] = ()) -> None:
        """Keep the summary and the single faults.

        Args:
            message: One line that names the place and says what to do.
            faults: Every fault found, one line each; shown below the message.
        """
        super().__init__(message)
        self.faults = tuple(faults)


class OptionError(HeadImpactError, ValueError):
    """An option, or a combination of options, that cannot be carried out."""


class NoSuchDrawError(OptionError):
    """A random draw beyond the different ones that there are."""


class IncompatibleRunsError(HeadImpactError, ValueError):
    """Runs that must not be compared or merged; the message names the differing field."""


class OutputInUseError(HeadImpactError, FileExistsError):
    """An output file or folder that already holds something."""


class MissingExtraError(HeadImpactError, ImportError):
    """An optional package that is not installed; the message holds the install line."""


class RunFailedError(HeadImpactError, RuntimeError):
    """The work itself failed (diverged, ran out of disk or memory), the input being fine. Exit code 1."""

    exit_code = 1
