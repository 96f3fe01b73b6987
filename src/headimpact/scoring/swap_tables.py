"""Scores of every map of a group against every mask of that group: what chance is drawn from."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from headimpact.core.errors import DataFormatError
from headimpact.scoring.donors import picture_key
from headimpact.scoring.sample_scores import SampleScores


@dataclasses.dataclass(frozen=True, eq=False)
class SwapTable:
    """One group of pictures that lend one another their masks.

    Attributes:
        image_ids: Pictures of the group that were scored, in an order that depends on nothing else.
        values: Score of picture i's map against picture j's mask, per column; the own mask on the diagonal;
            NaN for whole rows where a column has no value for a picture. Columns are heads, then baselines.
        like_others: Score against the own mask measured as the others' are, where the samples have it so; else as on
            the diagonal.
        is_measured: False where mask j says nothing on picture i's grid; `values` then holds the mean over the
            other masks that do.
    """

    image_ids: tuple[str, ...]
    values: Float[np.ndarray, "images images columns"]
    like_others: Float[np.ndarray, "images columns"]
    is_measured: Bool[np.ndarray, "images images"]

    def like_for_like(self) -> "SwapTable":
        """Put the own masks, measured as the others' are, on the diagonal: what can be exchanged under chance."""
        values = self.values.copy()
        here = np.arange(len(self.image_ids))
        values[here, here] = self.like_others
        return dataclasses.replace(self, values=values)

    def swapped(self) -> Bool[np.ndarray, "images images"]:
        """Mark measured pairs of a picture and another picture's mask."""
        return self.is_measured & ~np.eye(len(self.image_ids), dtype=bool)


def build_swap_tables(samples: SampleScores) -> tuple[SwapTable, ...]:
    """Sort per-picture scores into square tables, one per group of donors.

    Pictures that were skipped leave their group, as map and as mask. A mask that says nothing on a
    picture's grid gets that picture's mean over the masks that do, so that it neither helps nor hurts.

    Args:
        samples: Scores of a run, each picture against all others of its group.

    Returns:
        Tables in an order that depends on the pictures alone.

    Raises:
        DataFormatError: If a picture's donors do not have it as a donor in turn.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, (image_id, donor_ids) in enumerate(zip(samples.image_ids, samples.donor_ids, strict=True)):
        groups.setdefault(tuple(sorted({image_id, *donor_ids})), []).append(place)
    used = set(samples.image_ids)
    for members, places in groups.items():
        if len(places) != len(used.intersection(members)):
            raise DataFormatError(
                f"Donors do not fit: {len(places)} pictures share the donors of {samples.image_ids[places[0]]!r}, "
                f"expected {len(used.intersection(members))}. Pictures of a group must lend one another their masks; "
                "choose donors with plan_donors."
            )
    tables = [_build_table(samples, places) for places in groups.values()]
    return tuple(sorted(tables, key=lambda table: picture_key(table.image_ids[0])))


def _build_table(samples: SampleScores, places: list[int]) -> SwapTable:
    """Fill one group's table."""
    ordered = sorted(places, key=lambda place: picture_key(samples.image_ids[place]))
    image_ids = tuple(samples.image_ids[place] for place in ordered)
    column_of = {image_id: column for column, image_id in enumerate(image_ids)}
    heads = samples.own.shape[1] * samples.own.shape[2]
    values = np.full((len(ordered), len(ordered), heads + len(samples.baseline_names)), np.nan, dtype=np.float32)
    like_others = np.empty((len(ordered), values.shape[2]), dtype=np.float32)
    for row, place in enumerate(ordered):
        kept = [(slot, column_of[other]) for slot, other in enumerate(samples.donor_ids[place]) if other in column_of]
        slots, columns = [slot for slot, _ in kept], [column for _, column in kept]
        values[row, columns, :heads] = samples.donors[place][slots].reshape(len(kept), heads)
        values[row, columns, heads:] = samples.baseline_donors[place][slots]
        like_others[row] = values[row, row]
        values[row, row, :heads] = samples.own[place].ravel()
        values[row, row, heads:] = samples.baseline_own[place]
        like_others[row] = np.where(np.isnan(like_others[row]), values[row, row], like_others[row])
    return _filled(image_ids, values, like_others)


def _filled(image_ids: tuple[str, ...], values: np.ndarray, like_others: np.ndarray) -> SwapTable:
    """Fill masks that say nothing with the row's mean, and empty rows that have no own value."""
    here = np.arange(len(image_ids))
    if not np.isnan(values).any():
        return SwapTable(image_ids, values, like_others, is_measured=np.ones(values.shape[:2], dtype=bool))
    own = values[here, here].copy()
    is_measured = ~np.isnan(values).all(axis=2)
    is_measured[here, here] = True
    for row in here:
        others = is_measured[row] & (here != row)
        known = ~np.isnan(values[row][others])
        count = known.sum(axis=0)
        mean = np.where(known, values[row][others], 0.0).sum(axis=0) / np.maximum(count, 1)
        fill = np.where(count > 0, mean, own[row])
        values[row] = np.where(np.isnan(values[row]), fill, values[row])
        values[row][:, np.isnan(own[row])] = np.nan
    return SwapTable(image_ids, values, np.where(np.isnan(own), np.nan, like_others), is_measured)
