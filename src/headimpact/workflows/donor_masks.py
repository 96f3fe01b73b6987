"""Other pictures' masks, laid on a picture's own image tokens."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from jaxtyping import Float

from headimpact.data.masks import resize_to_plane
from headimpact.data.sample import Sample
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.patch_grid import mask_coverage
from headimpact.scoring.donors import DonorPlan, plan_donors


@dataclasses.dataclass(frozen=True, eq=False)
class DonorMasks:
    """Other pictures' key objects on the image plane, by picture.

    Attributes:
        plan: Whose masks stand in for whose.
        planes: Coverage of each picture's key objects on a square plane.
    """

    plan: DonorPlan
    planes: Mapping[str, Float[np.ndarray, "rows columns"]]

    @classmethod
    def of(cls, samples: Sequence[Sample], *, donors: int, seed: int) -> Self:
        """Plan the donors of some pictures and bring every mask onto the plane.

        Args:
            samples: Pictures that may be scored.
            donors: Most masks a picture is scored against beside its own.
            seed: Seed of the plan.

        Returns:
            Plan and planes; the planes take 16 KiB a picture.
        """
        plan = plan_donors([sample.image_id for sample in samples], donors=donors, seed=seed)
        planes = {sample.image_id: resize_to_plane(sample.load_mask()).astype(np.float32) for sample in samples}
        return cls(plan, planes)

    def lenders(self, image_id: str) -> tuple[str, ...]:
        """List whose masks a picture is held against: its own, measured as the others are, and its donors'; if any."""
        donors = self.plan.donors_of(image_id)
        return (image_id, *donors) if donors else ()

    def coverage(self, image_id: str, layout: ImageTokenLayout) -> Float[np.ndarray, "masks image_tokens"]:
        """Lay the masks of a picture's lenders on its own tokens."""
        lenders = self.lenders(image_id)
        if not lenders:
            return np.zeros((0, len(layout)))
        return mask_coverage(np.stack([self.planes[lender] for lender in lenders]), layout.boxes)
