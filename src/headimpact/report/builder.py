"""Run folders -> one self-contained HTML page that loads nothing from anywhere.

In come the folders that `score`, `select`, `tune`, `evaluate` and `compare` wrote, any of them; out goes
one file.
"""

import importlib.resources
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from headimpact.core.artifacts import atomic_file, refuse_used
from headimpact.core.errors import OptionError
from headimpact.report.figures.colours import scale_css
from headimpact.report.page import Page
from headimpact.report.run_files import read_runs
from headimpact.report.sections.whole import build_page


def build_report(run_folders: Sequence[Path], out: Path, *, overwrite: bool = False, title: str | None = None) -> Path:
    """Write the report of some runs.

    Args:
        run_folders: Run folders, or folders with run folders up to two levels below, in the order to show them.
        out: The HTML file to write.
        overwrite: Replace a file that is there.
        title: Title of the page; a general one if left out.

    Returns:
        `out`.

    Raises:
        DataFormatError: If a folder is missing, holds no run, or holds a file of another kind.
        OptionError: If `out` is a folder, or its name is none of an HTML file.
        OutputInUseError: If `out` is there and `overwrite` is off.
        RunFailedError: If the file system refuses.
    """
    check_html_name(out)
    refuse_used(out, overwrite=overwrite)
    html = render_page(build_page(read_runs(run_folders), title=title))
    with atomic_file(out) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return out


def check_html_name(out: Path) -> None:
    """Refuse a name under which no browser would show a page.

    Raises:
        OptionError: If `out` is a folder, or does not end in `.html`.
    """
    if out.is_dir():
        raise OptionError(f"Output is a folder: {out}. Expected a file name; pass for example {out / 'report.html'}.")
    if out.suffix.lower() not in {".html", ".htm"}:
        raise OptionError(
            f"Output is no HTML file by its name: {out}. Expected one that ends in .html; pass {out}.html."
        )


def render_page(page: Page) -> str:
    """Fill the template; every text of the page is escaped, only drawings made by the figures are not.

    Args:
        page: What to show.

    Returns:
        The HTML of the whole page.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("headimpact.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    style = (importlib.resources.files("headimpact.report") / "templates" / "style.css").read_text(encoding="utf-8")
    css = Markup(f"{style}{scale_css()}")
    html: str = environment.get_template("report.html.j2").render(page=page, css=css)
    return html
