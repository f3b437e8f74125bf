"""Files that are made from others: a part of a page between two marks, and writing or comparing what was made."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def between(page: Path, begin: str, end: str, text: str) -> str:
    """What the page should hold: `text` in place of what is between its two marks. ValueError where it lacks them."""
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} lacks the marks {begin} and {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def write_or_check(made: dict[Path, str], arguments: list[str]) -> int:
    """Write each file and return 0; with --check write none, and return 1 when one differs from what was made."""
    status = 0
    for path, text in made.items():
        if arguments != ["--check"]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"sigap: {path.relative_to(ROOT)} is not what its source makes. Run `make generate`.")
            status = 1
    return status
