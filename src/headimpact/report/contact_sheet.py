"""Samples of a data set -> one self-contained HTML page to leaf through and mark bad pictures.

Comes in: samples. Goes out: a page with every picture small, its mask outlined, its descriptions; a filter by category;
marks, and the list of the marked ids as text, which `headimpact dataset drop` takes. The page's own script does that;
its hash is in the page's policy, which lets nothing else run and nothing be loaded.
"""

import base64
import hashlib
import importlib.resources
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup
from PIL import Image

from headimpact import __version__
from headimpact.core.shapes import ObjectMask
from headimpact.data.sample import Sample
from headimpact.report.examples import make_thumbnail
from headimpact.report.figures.attention_picture import outline_path
from headimpact.report.figures.svg import element, short

_QUALITY = 78


@dataclass(frozen=True)
class SheetPicture:
    """One picture as shown."""

    image_id: str
    categories: tuple[str, ...]
    note: str
    captions: tuple[str, ...]
    drawing: Markup


@dataclass(frozen=True)
class Sheet:
    """The whole page; `shown` says which pictures of how many these are."""

    title: str
    shown: str
    pictures: tuple[SheetPicture, ...]
    faults: tuple[str, ...] = ()

    @property
    def categories(self) -> list[tuple[str, int]]:
        """Categories with their numbers of pictures, by name."""
        return sorted(Counter(name for picture in self.pictures for name in picture.categories).items())


def draw_sample(sample: Sample) -> SheetPicture:
    """Make a sample ready to be shown.

    Args:
        sample: The sample; its picture and masks are read.

    Returns:
        What is shown of it.

    Raises:
        DataFormatError: If the picture or a mask cannot be read any more.
    """
    thumbnail, mask = make_thumbnail(sample.load_image(), sample.load_mask())
    categories = tuple(dict.fromkeys(key_object.category for key_object in sample.key_objects))
    facts = (sample.split, f"covers {mask.mean():.0%}", (sample.licence or "").partition(" (http")[0])
    return SheetPicture(
        image_id=sample.image_id,
        categories=categories,
        note=" \u00b7 ".join(filter(None, facts)),
        captions=sample.captions,
        drawing=_outlined(thumbnail, mask, label=f"{sample.image_id}: {', '.join(categories)} outlined"),
    )


def render_sheet(sheet: Sheet) -> str:
    """Fill the template; every text of the data set is escaped.

    Args:
        sheet: What to show.

    Returns:
        The HTML of the whole page.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("headimpact.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    script = _read_templates(["sheet.js"])
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    html: str = environment.get_template("sheet.html.j2").render(
        sheet=sheet,
        version=__version__,
        css=_read_templates(["style.css", "sheet.css"]),
        script=script,
        script_hash=f"sha256-{digest}",
    )
    return html


def _read_templates(names: Sequence[str]) -> Markup:
    """Read files of ours that are put into the page as they are."""
    folder = importlib.resources.files("headimpact.report") / "templates"
    return Markup("".join((folder / name).read_text(encoding="utf-8") for name in names))


def _outlined(thumbnail: Image.Image, mask: ObjectMask, *, label: str) -> Markup:
    """Draw a small picture with its mask outlined."""
    width, height = thumbnail.size
    outline = outline_path(mask)
    return element(
        "svg",
        element("image", href=_jpeg_uri(thumbnail), width=width, height=height),
        element("path", class_="outline-under", d=outline),
        element("path", class_="outline-over", d=outline),
        class_="picture",
        role="img",
        aria_label=label,
        viewBox=f"0 0 {short(width)} {short(height)}",
    )


def _jpeg_uri(picture: Image.Image) -> str:
    """Write a picture as a JPEG data URI, a fifth the size of a PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def count_shown(pictures: Iterable[object], *, total: int, page: int, size: int) -> str:
    """Say which pictures a page shows.

    Example:
        >>> count_shown([1, 2], total=2, page=1, size=200)
        'All 2 pictures'
        >>> count_shown([1, 2], total=500, page=2, size=2)
        'Pictures 3 to 4 of 500; page 2 of 250, --page 3 is the next'
    """
    number = len(list(pictures))
    if total <= size:
        return f"All {total:,} pictures" if total != 1 else "The one picture"
    first, pages = (page - 1) * size + 1, -(-total // size)
    after = f", --page {page + 1} is the next" if page < pages else ""
    return f"Pictures {first:,} to {first + number - 1:,} of {total:,}; page {page} of {pages}{after}"
