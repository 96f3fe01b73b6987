"""Report: run folders become one page."""

from headimpact.core.artifacts import refuse_used
from headimpact.core.errors import OptionError
from headimpact.report.builder import build_report, check_html_name
from headimpact.report.run_files import read_runs
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import ReportConfig


def report_command(config: ReportConfig) -> None:
    """Write the page.

    Raises:
        OptionError: If no run is named, or `--out` is no name of an HTML file.
        OutputInUseError: If the file exists and `--overwrite` is off.
        DataFormatError: If a folder holds no run or a broken one.
    """
    if not config.runs:
        raise OptionError("No run named. Pass folders written by score, select, tune, evaluate or compare.")
    if config.resume and config.out.is_file() and not config.overwrite:
        print_answer([f"finished already: {config.out}"], {"report": str(config.out)}, as_json=config.json)
        return
    refuse_used(config.out, overwrite=config.overwrite)
    read_runs(config.runs)
    check_html_name(config.out)
    if config.dry_run:
        print_answer(["dry run, nothing was written"], {"runs": [str(r) for r in config.runs]}, as_json=config.json)
        return
    path = build_report(config.runs, config.out, overwrite=config.overwrite, title=config.title)
    print_answer([f"report: {path}"], {"report": str(path)}, as_json=config.json)
