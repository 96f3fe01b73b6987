import numpy as np

from headimpact.report.run_files import RunFiles
from headimpact.report.sections.tuning_effect import effect_tables
from tests.unit.report.builders import head_scores

OWN = np.array([[0.1, 0.3], [0.5, 0.7]])


def scored(name, own=OWN, adapter=None, **provenance):
    facts = {"model": "m", "data_fingerprint": "d", "adapter": adapter, **provenance}
    return RunFiles(name=name, scores=head_scores(own=own, provenance=facts))


def test_layers_stand_side_by_side():
    (table,) = effect_tables([scored("tuned", OWN + 0.1, "a"), scored("base")])
    assert "before (base) and after tuning (tuned)" in table.caption
    assert [[cell.value for cell in row.cells] for row in table.rows] == [
        ["0.200", "0.300", "+0.100"],
        ["0.600", "0.700", "+0.100"],
    ]


def test_only_runs_that_differ_in_the_adapter_alone_are_paired():
    base = scored("base")
    assert effect_tables([base]) == ()
    assert effect_tables([scored("tuned", adapter="a")]) == ()
    assert effect_tables([base, scored("other", adapter="a", model="n")]) == ()
    assert effect_tables([base, scored("other", adapter="a", data_fingerprint="e")]) == ()
    assert len(effect_tables([base, scored("a", adapter="a"), scored("b", adapter="b")])) == 2
