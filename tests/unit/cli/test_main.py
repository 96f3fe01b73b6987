import contextlib
import dataclasses
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headimpact import __version__
from headimpact.cli.main import COMMANDS, as_kind, main, parse_config, split_command
from headimpact.cli.usage import explain_usage
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.workflows.configs import CompareConfig, ListConfig, ScoreConfig

SCORE = ("score", "--model", "m", "--data", "d", "--out", "o")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"headimpact {__version__}\n"


@pytest.mark.parametrize("words", [["--help"], [], ["-h"]], ids=["long", "nothing", "short"])
def test_help_names_every_command(capsys, words):
    assert main(words) == 0
    out = capsys.readouterr().out
    assert all(" ".join(command) in out for command in COMMANDS)


def test_help_of_a_group_names_its_commands(capsys):
    assert main(["dataset", "--help"]) == 0
    out = capsys.readouterr().out
    assert "dataset validate" in out
    assert "select" not in out.split("chance")[1].split("headimpact COMMAND")[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_every_option(capsys, command):
    *names, last = command
    words = [*names, f"{last}=x" if last.startswith("--") else last]  # a form of a command is chosen by a flag
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for field in dataclasses.fields(COMMANDS[command][0]):
        assert re.search(rf"--(no-)?{field.name.replace('_', '-')}(?![\w.-])", out) or field.name.upper() in out, (
            field.name
        )


def help_groups(capsys, command):
    """Give the lines of each group of a command's help, whatever its boxes are drawn with."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    groups: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        title = re.fullmatch(r"\W*((?:[a-z]+ )?options)\W*", line)
        if title:
            groups[title[1]] = []
        elif groups:
            list(groups.values())[-1].append(line.strip("│ "))
    return groups


def test_the_options_of_a_long_command_stand_in_groups(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    groups = help_groups(capsys, "score")
    names = ("output", "data", "model", "response", "region", "chance", "stopping")
    assert list(groups) == ["options", *(f"{name} options" for name in names)]
    flags = {title: sum(bool(re.match("--[a-z]", line)) for line in lines) for title, lines in groups.items()}
    assert max(flags.values()) <= 8
    assert sum(flags.values()) == len(dataclasses.fields(ScoreConfig))
    assert "What the scores are held against." in groups["chance options"]
    assert all(len(line) <= 80 for lines in groups.values() for line in lines)


def test_an_option_that_a_command_words_anew_stays_in_its_group(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = " ".join(" ".join(help_groups(capsys, "experiment")["model options"]).split())
    assert "--batch-size INT Pictures per optimizer step, and per forward pass when scoring. (default: 32)" in text


def test_a_message_is_the_same_where_the_output_has_no_encoding(capsys):
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["list", "scores", "--draws", "5"]) == 2
    assert capsys.readouterr().err == "headimpact: error: Unknown option --draws. See headimpact list --help.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["scroe"], "Unknown command 'scroe'. Did you mean 'score'", id="near command"),
        pytest.param(["--frobnicate"], "Unknown command '--frobnicate'", id="option first"),
        pytest.param(["score", "--data", "d", "--out", "o"], "error: Missing: --model STR. See", id="missing"),
        pytest.param(["list"], "Missing: KIND (families, scores, strategies, exports", id="missing word"),
        pytest.param(["score", "--modle", "m"], "Unknown option --modle. Did you mean --model? See", id="near option"),
        pytest.param([*SCORE, "--frob", "1"], "error: Unknown option --frob. See", id="unknown option with a value"),
        pytest.param([*SCORE, "--words", "3"], "'3' after --words, which takes no value.", id="value of a switch"),
        pytest.param([*SCORE, "--seed", "3", "4"], "error: Unexpected '4'. See", id="a word too many"),
        pytest.param([*SCORE, "--split"], "error: --split has no value; expected one.", id="no value"),
        pytest.param([*SCORE, "--limit", "1.5"], "error: --limit is '1.5'; expected a whole number.", id="fraction"),
        pytest.param(["compare", "--out", "o", "--margin", "big"], "--margin is 'big'; expected a number.", id="text"),
        pytest.param(["experiment", "--out", "o", "--r", "x"], "--r is 'x'; expected whole numbers.", id="one of some"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capsys, words, message):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert error.startswith("headimpact: error: ")


def test_libraries_say_nothing_beside_the_answer():
    quiet = {name: value for name, value in os.environ.items() if not name.endswith("_VERBOSITY")}
    done = subprocess.run(
        [sys.executable, "-m", "headimpact", "list", "families"], capture_output=True, text=True, env=quiet, check=True
    )
    assert done.stderr == ""
    assert done.stdout.startswith("llava ")


def test_a_frame_of_lines_is_read_as_one_of_hyphens():
    box = (
        "╭─ Required options ─────────────╮\n"
        "│ Missing from headimpact list:  │\n"
        "│     KIND                       │\n"
        "│         families, scores or    │\n"
        "│         models. (required)     │\n"
        "│ ────────────────────────────── │\n"
        "│ Unrecognized options:          │\n"
        "│     --markdwn                  │\n"
        "╰────────────────────────────────╯\n"
    )
    said = "Missing: KIND (families, scores or models). Unknown option --markdwn. Did you mean --markdown?"
    assert explain_usage(box, ["--markdwn"], ListConfig) == said


def test_flags_win_over_yaml_over_defaults(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("model: embedded\ndata: pictures\nbatch-size: 3\nseed: 7\nout: x\n")
    config = parse_config(ScoreConfig, ["--config", str(path), "--seed", "9"], ["score"])
    assert (config.model, config.data, config.batch_size, config.seed) == ("embedded", Path("pictures"), 3, 9)
    assert config.donors == 64


def test_yaml_lists_become_tuples(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("runs: [a, b]\nout: x\n")
    assert parse_config(CompareConfig, ["--config", str(path)], ["compare"]).runs == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "Config file not found", id="missing"),
        pytest.param("a: [", "as YAML", id="broken"),
        pytest.param("- 1", "holds a list", id="no mapping"),
        pytest.param("modle: x", "Unknown option 'modle'. Did you mean 'model'", id="unknown key"),
    ],
)
def test_a_bad_config_file_is_named(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataFormatError, match=message):
        parse_config(ScoreConfig, ["--config", str(path)], ["score"])


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        pytest.param(float, "1e-3", 1e-3, id="a number that YAML takes for a text"),
        pytest.param(float, 2, 2.0, id="whole number"),
        pytest.param(int | None, None, None, id="nothing"),
        pytest.param(tuple[Path, ...], ["a"], (Path("a"),), id="paths"),
        pytest.param(Path | None, "a", Path("a"), id="path or nothing"),
        pytest.param(bool, True, True, id="truth"),
    ],
)
def test_yaml_values_become_what_the_field_holds(kind, value, expected):
    found = as_kind(kind, value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("batch_size: big", "option batch_size is 'big', expected int", id="text for a number"),
        pytest.param("batch_size: true", "expected int", id="truth for a number"),
        pytest.param("limit: 1.5", "option limit is 1.5, expected int or null", id="fraction for a count"),
        pytest.param("prompt: 7", "expected str or null", id="number for a text"),
        pytest.param("resume: 1", "expected bool", id="number for truth"),
        pytest.param("binarization_k: much", "expected float", id="text for a fraction"),
    ],
)
def test_a_yaml_value_of_another_kind_is_named(tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(DataFormatError, match=message):
        parse_config(ScoreConfig, ["--config", str(path)], ["score"])


def test_an_incomplete_group_is_listed_not_run(capsys):
    assert split_command(["dataset"]) == (None, [])
    with pytest.raises(OptionError, match="Unknown command 'dataset bild'"):
        split_command(["dataset", "bild"])


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemoryError("CUDA out of memory")], ids=["host", "device"])
def test_running_out_of_memory_is_one_line(capsys, monkeypatch, error):
    def fail(config: object) -> None:
        raise error

    monkeypatch.setattr("headimpact.workflows.listing.list_command", fail)
    assert main(["list", "scores"]) == 1
    assert "out of memory. Use a smaller --batch-size" in capsys.readouterr().err


def test_an_unexpected_error_is_not_hidden(monkeypatch):
    def fail(config: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("headimpact.workflows.listing.list_command", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["list", "scores"])
