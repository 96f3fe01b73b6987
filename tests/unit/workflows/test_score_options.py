from pathlib import Path

import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.scoring import SCORES
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.score_options import check_options, measurement_options, score_names

NAMES = {
    "one": ({}, ("head_impact",)),
    "another one": ({"score": "auroc"}, ("auroc",)),
    "two more": ({"scores": "auroc, pointing_game"}, ("head_impact", "auroc", "pointing_game")),
    "none twice": ({"score": "auroc", "scores": "auroc,head_impact,auroc"}, ("auroc", "head_impact")),
    "all": ({"scores": "all"}, tuple(SCORES)),
    "all behind another": ({"score": "auroc", "scores": "all"}, ("auroc", *(n for n in SCORES if n != "auroc"))),
}


def config(**options):
    return ScoreConfig(model="embedded", data=Path("data"), out=Path("out"), **options)


@pytest.mark.parametrize(("options", "names"), NAMES.values(), ids=NAMES)
def test_the_runs_own_score_comes_first_and_none_twice(options, names):
    assert score_names(config(**options)) == names
    assert measurement_options(config(**options)).scores == names
    check_options(config(**options))


@pytest.mark.parametrize("options", [{"score": "aurok"}, {"scores": "all,aurok"}])
def test_unknown_scores_are_refused(options):
    with pytest.raises(UnknownNameError, match=r"Unknown score 'aurok'\. Did you mean 'auroc'"):
        check_options(config(**options))


def test_scores_of_causes_come_by_name_and_never_from_maps():
    asked = config(scores="all,gate_gradient,knockout")
    check_options(asked)
    assert score_names(asked) == (*SCORES, "gate_gradient", "knockout")
    assert measurement_options(asked).scores == tuple(SCORES)
    with pytest.raises(OptionError, match=r"--score knockout cannot stand alone.*Pass --scores knockout beside"):
        check_options(config(score="knockout"))
