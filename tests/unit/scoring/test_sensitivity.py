import json

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.scoring.sensitivity import Sensitivity, Variant, compare_variants

DEFAULT = np.array([[0.1, 0.9], [0.3, 0.4], [0.2, 0.2], [np.nan, np.nan]], dtype=np.float32)


def compared(**variants):
    return compare_variants({"default": Variant(DEFAULT), **variants}, k=1, images=8, options={"seed": 1})


def test_three_variants_worked_by_hand():
    turned = Variant(-DEFAULT)
    found = compared(**{"rows=at": turned, "layer_aggregation=top-1": Variant(DEFAULT, "top-1")})
    assert found.names == ("default", "rows=at", "layer_aggregation=top-1")
    assert found.layer_values[0] == pytest.approx([0.5, 0.35, 0.2, np.nan], nan_ok=True)
    assert found.layer_values[2] == pytest.approx([0.9, 0.4, 0.2, np.nan], nan_ok=True)
    assert found.heads[0] == pytest.approx([1.0, -1.0, 1.0])
    assert found.layers[0] == pytest.approx([1.0, -1.0, 1.0])
    assert found.overlap[0].tolist() == [1.0, 0.0, 1.0]
    assert np.array_equal(found.layers, found.layers.T)


def test_a_variant_that_ranks_nothing_agrees_with_nothing(tmp_path):
    found = compared(flat=Variant(np.full((4, 2), 0.3, dtype=np.float32)))
    assert np.isnan(found.layers[0, 1])
    found.write(tmp_path)
    read = Sensitivity.read(tmp_path)
    assert np.array_equal(read.layers, found.layers, equal_nan=True)
    assert np.array_equal(read.layer_values, found.layer_values, equal_nan=True)
    assert (read.names, read.k, read.images, read.options) == (("default", "flat"), 1, 8, {"seed": 1})


def test_a_broken_file_is_refused(tmp_path):
    compared().write(tmp_path)
    content = json.loads((tmp_path / "sensitivity.json").read_text())
    del content["overlap"]
    (tmp_path / "sensitivity.json").write_text(json.dumps(content))
    with pytest.raises(DataFormatError, match=r"'overlap'.*measure again"):
        Sensitivity.read(tmp_path)
