"""What every picture says about every head: scores against its own mask and against its donors' masks."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import HeadValues, ImageHeadValues


@dataclasses.dataclass(frozen=True, eq=False)
class PictureScores:
    """One picture's scores, its captions averaged already.

    Attributes:
        image_id: The picture.
        own: Score against its own mask; NaN where a head sees no image token.
        donors: Score against each donor's mask; NaN where a donor says nothing on this picture's grid.
        donor_ids: Pictures whose masks those are; the picture itself may be among them, its mask then measured as
            the others' are.
        sees_image: Share of its responses in which a head's rows see an image token.
        baselines: Name of a map that needs no model to its scores: own mask first, then donors.
    """

    image_id: str
    own: HeadValues
    donors: Float[np.ndarray, "donors layers heads"]
    donor_ids: tuple[str, ...]
    sees_image: HeadValues
    baselines: Mapping[str, Float[np.ndarray, " masks"]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class SampleScores:
    """Scores of several pictures; the content of one shard, or of all of them.

    Attributes:
        image_ids: Pictures that were scored, in the order of the data set.
        donor_ids: For each picture those whose masks stood in; tuples may differ in length.
        own: Score against the own mask.
        donors: Score against donors' masks, filled up with NaN.
        sees_image: Share of a picture's responses in which a head sees an image token.
        baseline_names: Maps that need no model.
        baseline_own: Their score against the own mask.
        baseline_donors: Their score against donors' masks.
        skipped: Pictures that say nothing, with the reason.
    """

    image_ids: tuple[str, ...]
    donor_ids: tuple[tuple[str, ...], ...]
    own: ImageHeadValues
    donors: Float[np.ndarray, "images donors layers heads"]
    sees_image: ImageHeadValues
    baseline_names: tuple[str, ...]
    baseline_own: Float[np.ndarray, "images baselines"]
    baseline_donors: Float[np.ndarray, "images donors baselines"]
    skipped: Mapping[str, str]

    @classmethod
    def from_pictures(
        cls,
        pictures: Sequence[PictureScores],
        *,
        skipped: Mapping[str, str] | None = None,
        shape: tuple[int, int] | None = None,
    ) -> "SampleScores":
        """Stack pictures.

        Args:
            pictures: Scored pictures of one model, in the order of the data set.
            skipped: Pictures that say nothing, with the reason.
            shape: Layers and heads; needed only where `pictures` is empty.

        Returns:
            Their arrays in single precision.

        Raises:
            DataFormatError: If pictures differ in layers, heads or baselines, or a picture's donor scores do
                not fit its donor ids.
        """
        layers, heads = pictures[0].own.shape if pictures else shape or (0, 0)
        names = tuple(pictures[0].baselines) if pictures else ()
        longest = max((len(picture.donor_ids) for picture in pictures), default=0)
        donors = np.full((len(pictures), longest, layers, heads), np.nan, dtype=np.float32)
        baseline_own = np.zeros((len(pictures), len(names)), dtype=np.float32)
        baseline_donors = np.full((len(pictures), longest, len(names)), np.nan, dtype=np.float32)
        for place, picture in enumerate(pictures):
            _check_picture(picture, (layers, heads), names)
            count = len(picture.donor_ids)
            donors[place, :count] = picture.donors
            for column, name in enumerate(names):
                baseline_own[place, column] = picture.baselines[name][0]
                baseline_donors[place, :count, column] = picture.baselines[name][1:]
        return cls(
            image_ids=tuple(picture.image_id for picture in pictures),
            donor_ids=tuple(tuple(picture.donor_ids) for picture in pictures),
            own=_stack([picture.own for picture in pictures], (layers, heads)),
            donors=donors,
            sees_image=_stack([picture.sees_image for picture in pictures], (layers, heads)),
            baseline_names=names,
            baseline_own=baseline_own,
            baseline_donors=baseline_donors,
            skipped=dict(skipped or {}),
        )

    @classmethod
    def join(cls, parts: Sequence["SampleScores"]) -> "SampleScores":
        """Put blocks of pictures together, in the order given.

        Args:
            parts: Blocks of one run; blocks without a scored picture are allowed.

        Returns:
            All pictures.

        Raises:
            DataFormatError: If blocks differ in layers, heads or baselines, or share a picture.
        """
        filled = [part for part in parts if part.image_ids]
        pictures = [picture for part in filled for picture in part.pictures()]
        repeated = len(pictures) - len({picture.image_id for picture in pictures})
        if repeated:
            raise DataFormatError(
                f"Shards share {repeated} pictures; expected every picture in one shard. Score the run again."
            )
        skipped = {image_id: reason for part in parts for image_id, reason in part.skipped.items()}
        shape = next(((part.own.shape[1], part.own.shape[2]) for part in parts), (0, 0))
        return cls.from_pictures(pictures, skipped=skipped, shape=shape)

    def pictures(self) -> list[PictureScores]:
        """Give the pictures one by one, as `from_pictures` takes them."""
        return [
            PictureScores(
                image_id=image_id,
                own=self.own[place],
                donors=self.donors[place, : len(donor_ids)],
                donor_ids=donor_ids,
                sees_image=self.sees_image[place],
                baselines={
                    name: np.append(
                        self.baseline_own[place, column], self.baseline_donors[place, : len(donor_ids), column]
                    )
                    for column, name in enumerate(self.baseline_names)
                },
            )
            for place, (image_id, donor_ids) in enumerate(zip(self.image_ids, self.donor_ids, strict=True))
        ]


def _check_picture(picture: PictureScores, shape: tuple[int, int], names: tuple[str, ...]) -> None:
    """Refuse a picture whose arrays do not fit the others or its own donors.

    Raises:
        DataFormatError: If they do not.
    """
    expected = (len(picture.donor_ids), *shape)
    fits = (
        picture.own.shape == shape
        and picture.sees_image.shape == shape
        and picture.donors.shape == expected
        and tuple(picture.baselines) == names
        and all(len(values) == expected[0] + 1 for values in picture.baselines.values())
    )
    if not fits:
        raise DataFormatError(
            f"Scores of picture {picture.image_id!r} do not fit: own {picture.own.shape}, donors "
            f"{picture.donors.shape}, baselines {tuple(picture.baselines)}; expected own {shape}, donors {expected}, "
            f"baselines {names}. Were the shards written by one run?"
        )


def _stack(values: Sequence[np.ndarray], shape: tuple[int, int]) -> ImageHeadValues:
    """Stack values of pictures in single precision, also none."""
    stacked: np.ndarray = np.array(values, dtype=np.float32).reshape(len(values), *shape)
    return stacked
