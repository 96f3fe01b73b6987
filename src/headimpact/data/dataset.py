"""A checked sequence of samples that is split, cut down and iterated; nothing is loaded by it."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.provenance import hash_texts
from headimpact.core.registry import unknown_name_message
from headimpact.data.sample import Sample
from headimpact.data.splits import SHARES, assign_splits, rank_ids


@dataclass(frozen=True)
class Skip:
    """A picture that was left out.

    Attributes:
        image_id: The picture.
        reason: `no_caption`, `no_annotation`, `empty_mask` or `bad_picture`.
        split: The split it would be in.
    """

    image_id: str
    reason: str
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class KeyObjectDataset:
    """Samples in the order of their picture ids, and what was left out.

    Attributes:
        samples: Pictures that say something.
        root: Folder they were read from.
        skips: Pictures left out, with the reason.
        info: What the folder says of itself.
        split_seed: Seed of the split of a folder that has none.
    """

    samples: tuple[Sample, ...]
    root: Path
    skips: tuple[Skip, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)
    split_seed: int = 0

    def __repr__(self) -> str:
        """Say in a line what is there; thousands of samples would fill a screen."""
        counts = Counter("no split" if sample.split is None else sample.split for sample in self.samples)
        splits = ", ".join(f"{count} {name}" for name, count in counts.items())
        return f"<KeyObjectDataset {self.root}: {len(self)} pictures ({splits}), {len(self.skips)} left out>"

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        """Iterate over the samples."""
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        """Give one sample by its place."""
        return self.samples[index]

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Picture ids in order."""
        return tuple(sample.image_id for sample in self.samples)

    @property
    def fingerprint(self) -> str:
        """Hash of the ordered picture ids."""
        return hash_texts(self.image_ids)

    @property
    def skipped(self) -> dict[str, int]:
        """Number of pictures left out by reason."""
        return dict(sorted(Counter(skip.reason for skip in self.skips).items()))

    @property
    def skipped_ids(self) -> dict[str, tuple[str, ...]]:
        """Picture ids left out by reason."""
        return {reason: tuple(s.image_id for s in self.skips if s.reason == reason) for reason in self.skipped}

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits, in order of appearance; empty where the folder has none."""
        names = [*(sample.split for sample in self.samples), *(skip.split for skip in self.skips)]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def split(self, name: str) -> "KeyObjectDataset":
        """Take one split.

        A folder without splits is split by picture as `assign_splits` does, over all its pictures, those
        left out included, so that mending one does not move others. Take the split before `subset` and
        `limit`.

        Args:
            name: Name of the split; `all` takes everything.

        Returns:
            The samples and skips of the split. A picture that has no split where others have one is in
            `all` only.

        Raises:
            UnknownNameError: If there is no such split.
        """
        if name == "all":
            return self
        parted = self if self.split_names else self.with_splits()
        if name not in parted.split_names and (self.split_names or name not in SHARES):
            known = self.split_names or tuple(SHARES)
            raise UnknownNameError(unknown_name_message("split", name, (*known, "all")))
        return dataclasses.replace(
            parted,
            samples=tuple(sample for sample in parted.samples if sample.split == name),
            skips=tuple(skip for skip in parted.skips if skip.split == name),
        )

    def with_splits(self) -> "KeyObjectDataset":
        """Give every picture a split by `assign_splits`, whatever split it had."""
        chosen = assign_splits(
            [*self.image_ids, *(skip.image_id for skip in self.skips)],
            seed=self.split_seed,
        )
        return dataclasses.replace(
            self,
            samples=tuple(dataclasses.replace(s, split=chosen[s.image_id]) for s in self.samples),
            skips=tuple(dataclasses.replace(s, split=chosen[s.image_id]) for s in self.skips),
        )

    def subset(self, image_ids: Iterable[str]) -> "KeyObjectDataset":
        """Take the samples with these ids, in the order of the data set.

        Args:
            image_ids: Picture ids.

        Raises:
            UnknownNameError: If an id is not in the data set.
        """
        wanted = set(image_ids)
        missing = sorted(wanted.difference(self.image_ids))
        if missing:
            reasons = {skip.image_id: skip.reason for skip in self.skips}
            why = f" (left out: {reasons[missing[0]]})" if missing[0] in reasons else ""
            raise UnknownNameError(
                f"Unknown picture id {missing[0]!r}{why}: {len(missing)} of {len(wanted)} ids are not among the "
                f"{len(self)} samples of {self.root}. Ids are text, as in Sample.image_id."
            )
        return self._with_samples(sample for sample in self.samples if sample.image_id in wanted)

    def limit(self, count: int, seed: int = 0) -> "KeyObjectDataset":
        """Draw at most so many samples; a smaller draw with the same seed lies within a larger one.

        Args:
            count: At least 1.
            seed: Seed of the draw.

        Returns:
            The drawn samples in the order of the data set.

        Raises:
            OptionError: If `count` is below 1.
        """
        if count < 1:
            raise OptionError(f"Number of pictures: given {count}; expected 1 or more.")
        drawn = set(self.drawn_ids(seed)[:count])
        return self._with_samples(sample for sample in self.samples if sample.image_id in drawn)

    def drawn_ids(self, seed: int) -> tuple[str, ...]:
        """Give the picture ids in the random order in which `limit` draws them.

        Args:
            seed: Seed of the order.
        """
        return tuple(rank_ids(self.image_ids, seed=seed, purpose="limit"))

    def _with_samples(self, samples: Iterable[Sample]) -> "KeyObjectDataset":
        """Give the same data set with other samples."""
        return dataclasses.replace(self, samples=tuple(samples))
