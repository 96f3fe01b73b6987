"""Card."""
from pathlib import Path
CARD_FILE = "README.md"
def write_card(folder: Path) -> None:
    (folder / CARD_FILE).write_text("x")
