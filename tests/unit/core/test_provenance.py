import json

from headimpact.core.provenance import collect_provenance, hash_file, hash_options, hash_texts


def test_provenance_is_json_and_has_the_facts():
    content = collect_provenance(seed=3, model="embedded")
    assert content["seed"] == 3
    assert content["versions"]["numpy"]
    assert json.loads(json.dumps(content)) == content


def test_equal_runs_have_equal_provenance():
    assert collect_provenance(seed=3) == collect_provenance(seed=3)


def test_hashes_depend_on_order_and_borders():
    assert hash_texts(["a", "b"]) == hash_texts(["a", "b"])
    assert len({hash_texts(t) for t in (["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""])}) == 4


def test_option_hash_ignores_order():
    assert hash_options({"a": 1, "b": None}) == hash_options({"b": None, "a": 1})
    assert hash_options({"a": 1}) != hash_options({"a": "1"})


def test_file_hash(tmp_path):
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "y").write_bytes(b"2")
    assert hash_file(tmp_path / "x") != hash_file(tmp_path / "y")
