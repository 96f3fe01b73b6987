"""Learning curves: what is averaged, what is drawn, and names that do not lie over each other."""

import itertools
import re

import pytest

from headimpact.report.figures.learning_curves import LearningCurve, render_learning_curves
from headimpact.report.run_files import RunFiles
from headimpact.report.sections.learning import learning_parts


def tuned(arm, losses, *, r=8, seed=0):
    tuning = {"selection": {"strategy": arm}, "options": {"r": r, "seed": seed}, "losses": losses}
    return RunFiles(name=f"{arm}-{seed}", tuning={"trainable_parameters": 1, "trainable_share": 0.1, **tuning})


def test_seeds_and_draws_of_an_arm_are_averaged():
    runs = [tuned("top-k", [4.0, 1.0]), tuned("top-k", [2.0, 3.0], seed=1), tuned("random", [1.0, 0.5])]
    (part,) = learning_parts(runs)
    assert "top-k: 2 runs, loss 3.000 in the first step, 2.000 in the last" in part.curves.broad
    assert "random: 1 run, loss 1.000 in the first step, 0.500 in the last" in part.curves.narrow
    assert "3 runs in all" in part.caption
    assert part.rank == ""


def test_each_rank_has_its_own_drawing_and_one_arm_has_none():
    runs = [tuned(arm, [1.0, 0.5], r=r) for arm in ("top-k", "random") for r in (4, 16)]
    assert [part.rank for part in learning_parts(runs)] == ["r = 4", "r = 16"]
    assert learning_parts(runs[:1]) == ()
    assert learning_parts([]) == ()


def test_the_top_arm_is_drawn_last_and_set_off():
    curves = [LearningCurve("top-k", [2.0, 0.1], "t", True), LearningCurve("random", [2.0, 0.4], "r", False)]
    drawn = render_learning_curves(curves, label="x")
    assert re.findall(r'class="curve (\w+)"', drawn) == ["other", "top"]


@pytest.mark.parametrize("losses", [[0.5], [0.5, 0.5], [1e-6, 3.0]], ids=["one step", "flat", "wide"])
@pytest.mark.parametrize("width", [680.0, 340.0])
def test_names_stand_apart_inside_the_drawing(losses, width):
    curves = [LearningCurve(f"arm {n}", losses, "t", n == 0) for n in range(9)]
    drawn = render_learning_curves(curves, label="x", width=width)
    found = re.findall(r'<text (?=[^>]*class="arm)[^>]*y="([\d.-]+)"', drawn)
    heights = sorted(float(y) for y in found)
    assert len(heights) == 9
    assert all(later - earlier > 13 for earlier, later in itertools.pairwise(heights))
    assert heights[0] > 0
    (bottom,) = re.findall(r'viewBox="0 0 \S+ (\S+)"', drawn)
    assert heights[-1] < float(bottom)
