import dataclasses

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from headimpact.core.shards import shard_path
from headimpact.scoring.sample_scores import SampleScores
from headimpact.scoring.shards import missing_shards, read_own_scores, read_shards, write_shard
from tests.unit.scoring.makers import samples_from_table
from tests.unit.scoring.test_sample_scores import equal

SAMPLES = samples_from_table(np.random.default_rng(0).random((6, 6, 8)), shape=(2, 3), baselines=("uniform", "centre"))
IDENTITY = {"model": "embedded", "options": {"rule": "area", "k": 1.0}, "shape": (2, 3)}


def blocks():
    pictures = SAMPLES.pictures()
    return [
        SampleScores.from_pictures(pictures[:3]),
        SampleScores.from_pictures([], skipped={"a": "cropped_away"}, shape=(2, 3)),
        SampleScores.from_pictures(pictures[3:], skipped={"ä\udc80": "covers_too_much"}),
    ]


def write(folder, *indices):
    for index in indices:
        write_shard(folder, index, blocks()[index], identity=IDENTITY)


def test_read_back_in_order(tmp_path):
    write(tmp_path, 2, 0, 1)
    found = read_shards(tmp_path, 3, identity=IDENTITY)
    assert found.skipped == {"a": "cropped_away", "ä\udc80": "covers_too_much"}
    assert equal(found, SampleScores.join(blocks()))
    assert found.image_ids == SAMPLES.image_ids


def test_own_scores_alone(tmp_path):
    write(tmp_path, 0, 1, 2)
    own = read_own_scores(tmp_path, 3)
    assert np.array_equal(own, read_shards(tmp_path, 3).own)
    shard_path(tmp_path, 1).write_bytes(b"half")
    with pytest.raises(DataFormatError, match=r"Cannot read shard .*00001.*--resume"):
        read_own_scores(tmp_path, 3)


def test_own_scores_of_a_head_that_hardly_sees_are_none(tmp_path):
    sees = np.ones_like(SAMPLES.sees_image)
    sees[:2, 1, 2] = 0.0
    write_shard(tmp_path, 0, dataclasses.replace(SAMPLES, sees_image=sees), identity=IDENTITY)
    blind = np.isnan(read_own_scores(tmp_path, 1))
    assert blind[:, 1, 2].all()
    assert blind.sum() == len(SAMPLES.image_ids)


def test_the_same_scores_give_the_same_bytes(tmp_path):
    write(tmp_path / "a", 0, 2)
    write(tmp_path / "b", 2, 0)
    for index in (0, 2):
        assert shard_path(tmp_path / "a", index).read_bytes() == shard_path(tmp_path / "b", index).read_bytes()


def test_missing_shards_are_what_a_resumed_run_does(tmp_path):
    assert missing_shards(tmp_path / "none", 3, identity=IDENTITY) == [0, 1, 2]
    write(tmp_path, 1)
    (tmp_path / ".shard_00000.safetensors.x.tmp").write_bytes(b"half")
    assert missing_shards(tmp_path, 3, identity=IDENTITY) == [0, 2]
    with pytest.raises(DataFormatError, match=r"Shard 0 of 3 is missing.*--resume"):
        read_shards(tmp_path, 3)


def test_another_identity_is_refused_with_the_field(tmp_path):
    write(tmp_path, 0)
    other = {**IDENTITY, "model": "other"}
    for use in (missing_shards, read_shards):
        with pytest.raises(IncompatibleRunsError, match="made with model = 'embedded', now it is 'other'"):
            use(tmp_path, 1, identity=other)


def test_more_shards_than_the_run_has_are_refused(tmp_path):
    write(tmp_path, 0, 1)
    with pytest.raises(IncompatibleRunsError, match="beyond the 1 shards of this run"):
        missing_shards(tmp_path, 1, identity=IDENTITY)


BROKEN = {"cut": lambda data: data[: len(data) // 2], "empty": lambda data: b"", "text": lambda data: b"{}" * 40}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_broken_shards_are_refused(tmp_path, damage):
    write(tmp_path, 0)
    path = shard_path(tmp_path, 0)
    path.write_bytes(damage(path.read_bytes()))
    for use in (missing_shards, read_shards):
        with pytest.raises(DataFormatError, match=r"Cannot read shard .*delete it and run with --resume"):
            use(tmp_path, 1, identity=IDENTITY)


def test_another_schema_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("headimpact.scoring.shards.SCHEMA", "sample_scores/0")
    write(tmp_path, 0)
    monkeypatch.undo()
    with pytest.raises(DataFormatError, match="says schema 'sample_scores/0', expected 'sample_scores/1'"):
        read_shards(tmp_path, 1)
