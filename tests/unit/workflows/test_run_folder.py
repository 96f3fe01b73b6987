import dataclasses
from pathlib import Path

import pytest
import yaml

from headimpact.core.errors import DataFormatError, OptionError, OutputInUseError, RunFailedError
from headimpact.workflows.run_folder import claim_run, find_run, start_run, started_run, write_provenance


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    out: Path
    data: Path = Path("data")
    metrics: tuple[str, ...] = ("bleu_1",)
    rate: float = 1e-5
    limit: int | None = None
    overwrite: bool = False
    resume: bool = False
    dry_run: bool = False
    json: bool = False
    config: Path | None = None


def unfinished(out: Path, **options) -> Config:
    config = Config(out=out, **options)
    start_run(config)
    return config


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_folder_goes_from_missing_over_started_to_finished(tmp_path):
    config = Config(out=tmp_path / "a" / "out", resume=True)
    assert find_run(config, done_file="done.json") is False
    assert not config.out.exists(), "finding out writes nothing"
    assert claim_run(config, done_file="done.json") is False
    assert names(config.out) == ["config.yaml"]
    assert find_run(config, done_file="done.json") is False
    (config.out / "done.json").write_text("{}")
    assert claim_run(config, done_file="done.json") is True


def test_the_config_is_written_without_what_holds_for_one_call(tmp_path):
    config = unfinished(tmp_path / "out", json=True, config=Path("run.yaml"), resume=True)
    assert yaml.safe_load((config.out / "config.yaml").read_text()) == {
        "out": str(config.out),
        "data": "data",
        "metrics": ["bleu_1"],
        "rate": 1e-5,
        "limit": None,
    }


class MoreConfig(Config):
    """A command with the same options."""


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_of_another_command_is_called_that(tmp_path, resume):
    out = tmp_path / "out"
    start_run(MoreConfig(out=out))
    with pytest.raises(OutputInUseError, match=r"holds a run of the command 'more'\. Choose another --out, or pass"):
        find_run(Config(out=out, resume=resume), done_file="done.json")
    write_provenance(out, command="dataset build more")
    with pytest.raises(OutputInUseError, match=r"holds a run of the command 'dataset build more'\. Choose"):
        find_run(Config(out=out, resume=resume), done_file="done.json")
    assert find_run(MoreConfig(out=out, resume=True), done_file="done.json") is False


def test_a_config_that_does_not_say_whose_it_is_may_be_gone_on_with(tmp_path):
    config = unfinished(tmp_path / "out")
    path = config.out / "config.yaml"
    path.write_text(path.read_text().partition("\n")[2])
    assert find_run(dataclasses.replace(config, resume=True), done_file="done.json") is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"rate": 0.1}, "--rate is 0.1 now and was 1e-05", id="number"),
        pytest.param({"metrics": ("bleu_2",)}, r"--metrics is \['bleu_2'\] now and was \['bleu_1'\]", id="list"),
        pytest.param({"limit": 3}, "--limit is 3 now and was left out when", id="none before"),
        pytest.param({"data": Path("other")}, "--data is 'other' now", id="path"),
    ],
)
def test_a_run_is_not_gone_on_with_under_other_options(tmp_path, changes, message):
    config = unfinished(tmp_path / "out")
    with pytest.raises(OptionError, match=message):
        find_run(dataclasses.replace(config, resume=True, **changes), done_file="done.json")


@pytest.mark.parametrize(
    ("make", "options", "kind", "message"),
    [
        pytest.param("file", {}, OutputInUseError, "Output already exists", id="a file"),
        pytest.param("file", {"resume": True}, OutputInUseError, "Output already exists", id="a file, resumed"),
        pytest.param("file", {"overwrite": True}, OutputInUseError, "not written by headimpact", id="file, overwrite"),
        pytest.param("run", {}, OutputInUseError, r"did not finish\. Pass --resume to go on", id="a run"),
        pytest.param("other", {"resume": True}, OutputInUseError, r"no config\.yaml of a run", id="others' files"),
        pytest.param("other", {"overwrite": True}, OutputInUseError, r"no config\.yaml", id="others', overwrite"),
        pytest.param("broken", {"resume": True}, DataFormatError, r"config\.yaml is broken", id="broken config"),
        pytest.param("text", {"resume": True}, DataFormatError, r"config\.yaml is broken", id="config of text"),
    ],
)
def test_a_folder_in_use_is_refused(tmp_path, make, options, kind, message):
    out = tmp_path / "out"
    if make == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        name, text = {
            "run": ("config.yaml", "rate: 1"),
            "other": ("photo.jpg", "mine"),
            "broken": ("config.yaml", "a: ["),
            "text": ("config.yaml", "7"),
        }[make]
        (out / name).write_text(text)
    with pytest.raises(kind, match=message):
        find_run(Config(out=out, **options), done_file="done.json")


def test_overwrite_empties_a_runs_folder(tmp_path):
    config = unfinished(tmp_path / "out")
    (config.out / "samples").mkdir()
    (config.out / "samples" / "shard").write_text("old")
    again = dataclasses.replace(config, overwrite=True)
    assert claim_run(again, done_file="done.json") is False
    assert names(config.out) == ["config.yaml"]


def test_where_others_write_only_own_folders_are_tidied(tmp_path):
    out = tmp_path / "out"
    for folder in ("", "selections", "tuned", "tuned/one"):
        (out / folder).mkdir(parents=True, exist_ok=True)
        (out / folder / ".file.xyz.tmp").write_text("half")
    start_run(Config(out=out, resume=True), own=(".", "selections"))
    left = [str(path.relative_to(out)) for path in sorted(out.rglob(".*.tmp"))]
    assert left == ["tuned/.file.xyz.tmp", "tuned/one/.file.xyz.tmp"]


@pytest.mark.parametrize("recorded", ["out: elsewhere/run", "name: a project of mine", "- 1", "a: ["])
def test_a_config_of_something_else_does_not_let_its_folder_be_emptied(tmp_path, recorded):
    (tmp_path / "config.yaml").write_text(recorded)
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputInUseError, match=r"Will not overwrite .*no config\.yaml of a run there"):
        find_run(Config(out=tmp_path, overwrite=True), done_file="done.json")


@pytest.mark.parametrize("inside", [".", "adapter"])
def test_an_input_is_not_overwritten(tmp_path, inside):
    config = unfinished(tmp_path / "out", overwrite=True)
    (config.out / inside).mkdir(exist_ok=True)
    with pytest.raises(OptionError, match=r"--overwrite would delete --data .*out.*Choose another --out"):
        find_run(dataclasses.replace(config, data=config.out / inside), done_file="done.json")
    find_run(dataclasses.replace(config, data=tmp_path), done_file="done.json")


def test_a_runs_folder_that_was_moved_along_with_its_parents_may_be_overwritten(tmp_path):
    unfinished(tmp_path / "a" / "out")
    (tmp_path / "a").rename(tmp_path / "b")
    assert find_run(Config(out=tmp_path / "b" / "out", overwrite=True), done_file="done.json") is False


def test_what_a_killed_process_left_half_written_is_no_run_and_goes_away(tmp_path):
    out = tmp_path / "out"
    (out / ".adapter.xyz.tmp").mkdir(parents=True)
    (out / ".adapter.xyz.tmp" / "part").write_text("half")
    (out / ".config.yaml.abc.tmp").write_text("half")
    config = Config(out=out, resume=True)
    assert claim_run(config, done_file="done.json") is False
    assert names(out) == ["config.yaml"]


@pytest.mark.parametrize(("work", "kept"), [(False, False), (True, True)], ids=["no work yet", "some work"])
def test_a_run_that_fails_stays_only_if_work_is_in_it(tmp_path, work, kept):
    config = Config(out=tmp_path / "out")
    with pytest.raises(RunFailedError), started_run(config, work=("samples/shard_*",)):
        (config.out / "samples").mkdir()
        (config.out / "samples" / "plan.json").write_text("{}")
        if work:
            (config.out / "samples" / "shard_0").write_text("work")
        raise RunFailedError("disk full")
    assert config.out.exists() is kept


def test_a_run_that_is_interrupted_stays(tmp_path):
    config = Config(out=tmp_path / "out")
    with pytest.raises(KeyboardInterrupt), started_run(config, work=("shard_*",)):
        raise KeyboardInterrupt
    assert names(config.out) == ["config.yaml"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunFailedError, match=r"Cannot use .*file/out as --out"):
        start_run(Config(out=tmp_path / "file" / "out"))
