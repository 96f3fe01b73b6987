"""Colour scales: lightness in order, also as grey and for colour-blind eyes."""

import itertools

import numpy as np
import pytest

from headimpact.report.figures.colours import STEPS, heat_table, is_far_end, scale_colours, scale_css, step_of


def linear(colour):
    bytes_ = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(bytes_ <= 0.04045, bytes_ / 12.92, ((bytes_ + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    return float(linear(colour) @ np.array([0.2126, 0.7152, 0.0722]))


# Full dichromacy in linear RGB, after Machado, Oliveira & Fernandes (2009).
DICHROMACY = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize(("mode", "sign"), [("light", -1), ("dark", 1)])
def test_sequential_scale_keeps_its_order_of_lightness(mode, sign):
    values = [luminance(colour) for colour in scale_colours("sequential", mode)]
    assert len(values) == STEPS
    assert all(sign * (b - a) > 0 for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("eye", DICHROMACY)
@pytest.mark.parametrize(("mode", "sign"), [("light", -1), ("dark", 1)])
def test_sequential_scale_keeps_its_order_for_colour_blind_eyes(eye, mode, sign):
    seen = [np.array(DICHROMACY[eye]) @ linear(colour) for colour in scale_colours("sequential", mode)]
    values = [float(rgb @ np.array([0.2126, 0.7152, 0.0722])) for rgb in seen]
    assert all(sign * (b - a) > 0 for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("eye", DICHROMACY)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_ends_of_the_signed_scale_stay_apart(eye, mode):
    colours = scale_colours("signed", mode)
    low, high = (np.array(DICHROMACY[eye]) @ linear(colours[i]) for i in (0, -1))
    assert np.abs(low - high).max() > 0.15


@pytest.mark.parametrize(
    ("value", "step"),
    [(-1.0, 0), (0.0, 0), (0.5, 16), (1.0, 32), (7.0, 32)],
    ids=["below", "low", "middle", "high", "above"],
)
def test_step_of(value, step):
    assert step_of(value, 0.0, 1.0) == step


def test_step_of_an_empty_span_is_the_first():
    assert step_of(0.3, 0.3, 0.3) == 0


@pytest.mark.parametrize(("mode", "page", "ink"), [("light", "#fdfdfb", "#1c1e22"), ("dark", "#15171a", "#e7e5df")])
@pytest.mark.parametrize("scale", ["sequential", "signed"])
def test_marks_contrast_with_their_cell(mode, page, ink, scale):
    for step, colour in enumerate(scale_colours(scale, mode)):
        mark = luminance(page if is_far_end(step, scale) else ink)
        low, high = sorted((mark, luminance(colour)))
        assert (high + 0.05) / (low + 0.05) >= 3.0


def test_css_has_both_modes_and_every_step():
    css = scale_css()
    assert "prefers-color-scheme:dark" in css
    assert all(f".{letter}{i}{{fill:var(--{letter}{i})}}" in css for letter in "qd" for i in range(STEPS))


def test_heat_runs_from_clear_to_bright():
    table = heat_table().astype(int)
    assert table[0, 3] == 0
    assert (np.diff(table[:, 3]) >= 0).all()
    assert (np.diff(table[::15, :3] @ np.array([2126, 7152, 722])) > 0).all()
