"""The head of a card, and what goes along with a data set."""

import pytest
import yaml

from headimpact.core.errors import DataFormatError
from headimpact.data.formats.hub_card import check_split_name, copy_companions, write_card


def head_and_text(folder):
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_card_names_the_files_of_each_split(tmp_path):
    write_card(tmp_path, data_files={"test": ["data/test-*.parquet"]}, lines=["# Title", "Text."])
    head, text = head_and_text(tmp_path)
    files = [{"split": "test", "path": ["data/test-*.parquet"]}]
    assert head == {"configs": [{"config_name": "default", "data_files": files}]}
    assert text == "\n# Title\n\nText.\n"


@pytest.mark.parametrize(
    ("card", "kept", "shown"),
    [
        ("---\nlicense: mit\nconfigs: []\n---\n# Mine\n", {"license": "mit"}, "# Mine"),
        ("# Without a head\n", {}, "# Without a head"),
        ("---\n- a list\n---\n# Odd\n", {}, "- a list"),
        ("---\n{: broken\n---\n", {}, "# Title"),
        (b"\xff", {}, "# Title"),
    ],
    ids=["head", "no head", "list", "broken", "no text"],
)
def test_the_card_of_the_source_is_kept(tmp_path, card, kept, shown):
    source = tmp_path / "source"
    source.mkdir()
    (source / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    write_card(tmp_path, data_files={"train": ["*"]}, lines=["# Title"], source=source)
    head, text = head_and_text(tmp_path)
    assert {name: value for name, value in head.items() if name != "configs"} == kept
    assert head["configs"][0]["data_files"][0]["split"] == "train"
    assert shown in text


def test_companions_go_along_but_no_link_out_of_the_folder(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    (source / "attribution.csv").write_text("a")
    (source / "notes.txt").write_text("b")
    (out / "info.json").write_text("{}")
    copy_companions(source, out)
    assert {path.name for path in out.iterdir()} == {"attribution.csv", "info.json"}
    (tmp_path / "secret").write_text("c")
    (source / "decisions.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(DataFormatError, match="leaves the data folder"):
        copy_companions(source, out)


@pytest.mark.parametrize("name", ["train", "val2017", "a.b", "_1", "2017"])
def test_names_that_a_split_can_have(name):
    assert check_split_name(name) == name


@pytest.mark.parametrize("name", ["", "my split", "a-b", "a/b", "a.", "all", "caf\u00e9"])
def test_names_that_a_split_cannot_have(name):
    with pytest.raises(DataFormatError, match="Name of a split cannot go to the hub"):
        check_split_name(name)
