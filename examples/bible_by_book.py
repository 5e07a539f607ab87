"""The King James Bible by book: a folder of 66 text files, which fedchunk takes for 66 clients. Standard library only.

apt-get install bible-kjv bible-kjv-text       # Debian's packages: the command bible, and its text
python examples/bible_by_book.py data/bible    # 01-Ge.txt to 66-Rev.txt, a verse a line
python examples/bible_by_book.py data/new_testament --books 40-66
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

WHOLE = "gen1:1-rev22:21"
VERSE = re.compile(rb"(\d?[A-Za-z]+)\d+:\d+ (.+)")
"""A line as ``bible -f`` prints it, such as ``1Sm3:4 That the LORD called Samuel: and he answered, Here am I.``"""


def printed() -> bytes:
    """What the command prints of the whole Bible."""
    try:
        done = subprocess.run(["bible", "-f", WHOLE], capture_output=True, check=False)
    except FileNotFoundError:
        sys.exit("there is no command bible; on Debian: apt-get install bible-kjv bible-kjv-text")
    if done.returncode or not done.stdout:
        said = (done.stderr or done.stdout).decode(errors="replace").strip() or "it printed nothing"
        sys.exit(f"bible -f {WHOLE} failed: {said}\nIts text is a package of its own: apt-get install bible-kjv-text")
    return done.stdout


def by_book(lines: list[bytes]) -> dict[str, list[bytes]]:
    """The verses of each book, in the order of the Bible and without their numbers."""
    books: dict[str, list[bytes]] = {}
    for number, line in enumerate(lines, 1):
        verse = VERSE.fullmatch(line)
        if verse is None:
            sys.exit(f"line {number} of bible -f {WHOLE} is no verse with its book: {line[:60]!r}")
        books.setdefault(verse[1].decode(), []).append(verse[2] + b"\n")
    return books


def span(text: str) -> range:
    """The numbers from the first to the last of ``40-66``."""
    first, last = (int(number) for number in text.split("-"))
    if not 1 <= first <= last:
        raise ValueError(text)
    return range(first, last + 1)


def main() -> None:
    """Writes the files, and says what is in them."""
    parser = argparse.ArgumentParser(description="Writes the King James Bible as a file for each book.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/bible"), help="without: data/bible")
    parser.add_argument("--books", type=span, metavar="FIRST-LAST", help="these alone, such as 1-39; without: all")
    arguments = parser.parse_args()
    folder = arguments.folder
    found = list(enumerate(by_book(printed().splitlines()).items(), 1))
    books = {number: book for number, book in found if arguments.books is None or number in arguments.books}
    if not books:
        sys.exit(f"--books: books are numbered from 1 to {len(found)}")
    files = {f"{number:02}-{book}.txt": b"".join(verses) for number, (book, verses) in books.items()}
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted(path.name for path in folder.glob("*.txt") if path.name not in files)
    if others:
        sys.exit(f"{folder} has {others[0]} in it, which would be a client, too; give an empty folder")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    verses, size = sum(len(verses) for _, verses in books.values()), sum(map(len, files.values()))
    print(f"{folder}: {len(files)} books, {verses:,} verses, {size:,} bytes")


if __name__ == "__main__":
    main()
