import numpy as np
import pytest

from headimpact.core.errors import OptionError
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes


def layout(start: int = 5, *, rows: int = 2, columns: int = 3, image_index: int = 0) -> ImageTokenLayout:
    boxes = grid_boxes(rows=rows, columns=columns, patch_hw=(1, 1), start_yx=(0, 0), plane_hw=(rows, columns))
    positions = np.arange(start, start + rows * columns)
    return grid_layout(positions, boxes, rows=rows, columns=columns, image_index=image_index)


def tiled() -> ImageTokenLayout:
    return ImageTokenLayout(
        positions=np.array([1, 2, 4]),
        boxes=np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0, 1, 1.0]]),
        image_index=np.zeros(3, int),
        tile=np.array([WHOLE_PICTURE, 0, 1]),
        grid_row=np.zeros(3, int),
        grid_column=np.zeros(3, int),
        grid_hw={(0, -1): (1, 1), (0, 0): (1, 1), (0, 1): (1, 1)},
    )


def test_a_grid_runs_row_by_row():
    assert list(zip(layout().grid_row.tolist(), layout().grid_column.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert layout().boxes[4].tolist() == pytest.approx([1 / 3, 0.5, 2 / 3, 1.0])


def test_areas_add_up_to_the_picture():
    assert layout().areas.sum() == pytest.approx(1.0)
    assert tiled().areas.tolist() == [1.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("view", "positions"),
    [("all", [1, 2, 4]), ("global", [1]), ("tiles", [2, 4])],
)
def test_views(view, positions):
    assert tiled().view(view).positions.tolist() == positions


def test_unknown_view_suggests_a_near_one():
    with pytest.raises(OptionError, match="Did you mean 'global'"):
        tiled().view("globl")


def test_joined_pictures_keep_their_index():
    joined = join_layouts([layout(5), layout(20, rows=1, image_index=1)])
    assert joined.of_image(1).positions.tolist() == [20, 21, 22]
    assert dict(joined.grid_hw) == {(0, -1): (2, 3), (1, -1): (1, 3)}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"positions": np.array([2, 1, 4])}, "must rise"),
        ({"positions": np.array([2, 2, 4])}, "must rise"),
    ],
    ids=["falling", "repeated"],
)
def test_arrays_that_do_not_belong_together(change, match):
    whole = tiled()
    fields = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    with pytest.raises(ValueError, match=match):
        ImageTokenLayout(**{**fields, **change})


def test_arrays_of_different_lengths_are_refused():
    whole = tiled()
    fields = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    # The shape check of the test run comes before our own.
    with pytest.raises((ValueError, TypeError)):
        ImageTokenLayout(**{**fields, "tile": np.zeros(2, int)})
