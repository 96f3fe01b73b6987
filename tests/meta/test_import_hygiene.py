"""What must work where no model library is installed; the last test shows that these can fail."""

import subprocess
import sys

import pytest

BLOCKED = ("torch", "transformers", "peft", "accelerate", "datasets", "pyarrow")
PREAMBLE = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(f"blocked: {{name}}")
sys.meta_path.insert(0, Blocker())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PREAMBLE + code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["score", "--help"],
        ["tune", "--help"],
        ["demo", "--help"],
        ["experiment", "--help"],
        ["knockout", "--help"],
        ["dataset", "build", "pictures", "--help"],
        ["dataset", "export", "--help"],
        ["list", "strategies"],
        ["list", "exports"],
        ["list", "tasks"],
        ["list", "metrics"],
    ],
    ids=" ".join,
)
def test_help_and_lists_need_no_model_library(words):
    done = run(f"from headimpact.cli.main import main\nraise SystemExit(main({words!r}))")
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "module",
    [
        "headimpact",
        "headimpact.data.formats",
        "headimpact.scoring.head_scores",
        "headimpact.selection.strategies",
        "headimpact.selection.exports.unsloth",
        "headimpact.evaluation.metrics",
        "headimpact.comparison.table",
        "headimpact.report.builder",
        "headimpact.workflows.selection",
        "headimpact.workflows.selection_export",
        "headimpact.workflows.comparison",
        "headimpact.workflows.experiment",
        "headimpact.workflows.knockout",
        "headimpact.workflows.report",
        "headimpact.workflows.dataset_build",
        "headimpact.workflows.dataset_care",
        "headimpact.workflows.api",
        "headimpact.workflows.hub",
        "headimpact.workflows.own_pictures",
        "headimpact.embedded.scenes",
    ],
)
def test_a_module_imports_without_model_libraries(module):
    done = run(f"import {module}")
    assert done.returncode == 0, done.stderr


def test_a_result_file_is_measured_without_model_libraries(tmp_path):
    (tmp_path / "r.json").write_text('[{"image_id": 1, "caption": "A dog."}]')
    (tmp_path / "c.json").write_text('{"annotations": [{"image_id": 1, "caption": "A dog."}]}')
    words = ["evaluate", "--predictions", str(tmp_path / "r.json"), "--references", str(tmp_path / "c.json")]
    words += ["--metrics", "bleu_1", "chair_s", "--instances", str(tmp_path / "i.json")]
    (tmp_path / "i.json").write_text('{"images": [{"id": 1}], "categories": [], "annotations": []}')
    done = run(f"from headimpact.cli.main import main\nraise SystemExit(main({words!r}))")
    assert done.returncode == 0, done.stderr
    assert "BLEU-1: 1.0000" in done.stdout


def test_the_blocker_blocks():
    done = run("import headimpact.models.loading")
    assert done.returncode != 0
    assert "blocked: " in done.stderr
