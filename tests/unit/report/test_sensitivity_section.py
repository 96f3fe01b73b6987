"""How far rankings move with options, in words and as tables."""

import numpy as np

from headimpact.report.sections.sensitivity import sensitivity_part, summary
from headimpact.scoring.sensitivity import Variant, compare_variants

HEADS = np.array([[0.1, 0.2], [0.6, 0.5], [0.3, 0.3]], dtype=np.float32)


def compared(**others):
    variants = {"default": Variant(HEADS), **{name: Variant(heads) for name, heads in others.items()}}
    return compare_variants(variants, k=1, images=40)


def test_the_variant_that_moves_the_ranking_most_is_named():
    said = summary(compared(same=HEADS * 2, turned=-HEADS))
    assert said.startswith(
        "Of 2 variants, each one option away from the default and measured on the same 40 pictures, 1"
    )
    assert said.endswith("turned moves the ranking of layers most: rank correlation \u22121.00.")


def test_flat_variants_cannot_be_compared():
    assert summary(compared(flat=np.full_like(HEADS, 0.5))).startswith("No variant's ranking can be held against")


def test_tables_number_the_variants():
    part = sensitivity_part(compared(turned=-HEADS), run="")
    assert part is not None
    assert [row.name for row in part.table.rows] == ["1 default", "2 turned"]
    assert [cell.value for cell in part.table.rows[1].cells] == ["\u22121.00", "\u22121.00", "0\u00a0%", "0"]
    assert part.matrices[0].head == ("Variant", "1", "2")
    assert [cell.value for cell in part.matrices[2].rows[0].cells] == ["100\u00a0%", "0\u00a0%"]
    assert sensitivity_part(None, run="") is None
