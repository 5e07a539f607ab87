"""The King James Bible by book: a folder of 66 text files, which fedchunk takes for 66 clients. Standard library only.

apt-get install bible-kjv bible-kjv-text       # Debian's packages: the command bible, and its text
python examples/bible_by_book.py data/bible    # 01-Ge.txt to 66-Rev.txt, a verse a line
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


def main() -> None:
    """Writes the files, and says what is in them."""
    parser = argparse.ArgumentParser(description="Writes the King James Bible as a file for each book.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/bible"), help="without: data/bible")
    folder = parser.parse_args().folder
    books = by_book(printed().splitlines())
    files = {f"{place:02}-{book}.txt": b"".join(verses) for place, (book, verses) in enumerate(books.items(), 1)}
    folder.mkdir(parents=True, exist_ok=True)
    others = sorted(path.name for path in folder.glob("*.txt") if path.name not in files)
    if others:
        sys.exit(f"{folder} has {others[0]} in it, which would be a client, too; give an empty folder")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    verses, size = sum(map(len, books.values())), sum(map(len, files.values()))
    print(f"{folder}: {len(files)} books, {verses:,} verses, {size:,} bytes")


if __name__ == "__main__":
    main()
