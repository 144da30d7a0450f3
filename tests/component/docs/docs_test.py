"""The documents against the program and the tree: flags and their defaults, links, headings that others refer to."""

import os
import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[3]
BIN = pathlib.Path(os.environ.get("TAO_BINARY_DIR", TOP / "build/release")) / "bin"

SOURCES = (".cc", ".h", ".proto", ".py", ".sh", ".txt", ".cmake", ".yaml", ".md")
LEFT_OUT = ("build", ".git", "node_modules")


def files(*suffixes):
    for folder, names, found in os.walk(TOP):
        names[:] = [name for name in names if name not in LEFT_OUT]
        for name in found:
            if name.endswith(suffixes):
                yield pathlib.Path(folder) / name


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(path):
    return re.findall(r"^#+ +(.+?) *$", without_code(path.read_text()), flags=re.MULTILINE)


def anchor(heading):
    """As GitHub makes it: lower case, blanks to dashes, punctuation dropped."""
    text = re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def flags_of_help():
    """Each flag of --help with the default that it shows, or None."""
    text = subprocess.run([BIN / "tao-inference-server", "--help"], check=True, capture_output=True,
                          text=True).stdout
    flags = {}
    for line in re.findall(r"^  (-.*)$", text, flags=re.MULTILINE):
        name = re.search(r"--[a-z-]+", line).group()
        default = re.search(r"^--[a-z-]+ [A-Z]+(?::[^=]*?)?=(\S+)", line)
        flags[name] = default.group(1) if default else None
    return flags


def flag_rows():
    text = (TOP / "docs/operations.md").read_text()
    table = re.search(r"<!-- flags.*?<!-- /flags -->", text, flags=re.DOTALL).group()
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `--")]
    return [[cell.strip() for cell in row] for row in rows]


def test_operations_names_exactly_the_flags():
    assert sorted(row[0].strip("`") for row in flag_rows()) == sorted(flags_of_help())


def test_operations_has_the_defaults_of_help():
    shown = flags_of_help()
    assert sum(default is not None for default in shown.values()) > 8, shown
    for flag, _, default, _ in flag_rows():
        if shown[flag.strip("`")] is not None:
            assert default == f"`{shown[flag.strip('`')]}`", flag


def test_keys_are_the_flags():
    for flag, key, _, _ in flag_rows():
        name = flag.strip("`")
        wanted = "" if name in ("--help", "--version", "--config") else f"`{name[2:].replace('-', '_')}`"
        assert key == wanted, flag


def test_links_lead_somewhere():
    found = 0
    for path in files(".md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, fragment = target.partition("#")
            there = (path.parent / name).resolve() if name else path
            assert there.exists(), f"{path}: {target}"
            if fragment and there.suffix == ".md":
                assert fragment in map(anchor, headings(there)), f"{path}: {target}"
            found += 1
    assert found > 10


def test_diagrams_have_no_semicolon():
    """Mermaid ends a statement there, in the middle of a text too, and GitHub then shows an error."""
    diagrams = re.findall(r"^```mermaid\n(.*?)^```", (TOP / "docs/architecture.md").read_text(),
                          flags=re.MULTILINE | re.DOTALL)
    assert len(diagrams) > 2
    assert [line for diagram in diagrams for line in diagram.splitlines() if ";" in line] == []


def test_documents_that_the_tree_refers_to_are_there():
    """A path of a document, and one that is followed by a heading in quotes."""
    found = 0
    for path in files(*SOURCES):
        text = re.sub(r"\n\s*(?:#|//|\*)?\s*", " ", path.read_text(errors="replace"))
        for name, heading in re.findall(r"\b(docs/[\w./-]+\.md)(?:, \"([^\"]{1,40})\")?", text):
            document = TOP / name
            assert document.exists(), f"{path} refers to {name}"
            assert not heading or heading in headings(document), f"{path}: {name} has no {heading}"
            found += 1
    assert found > 5


def test_troubleshooting_quotes_what_the_program_says():
    """Each piece of a quoted text, between its "...", stands in a string of the sources."""
    sources = "\n".join(path.read_text() for folder in ("server", "gateway")
                        for path in sorted((TOP / folder).rglob("*.cc")))
    said = re.sub(r'"\s*\n\s*"', "", sources).replace('\\"', '"')
    table = (TOP / "docs/operations.md").read_text().split("## When something is wrong")[1].split("\n## ")[0]
    checked = 0
    for row in re.findall(r"^\| (.+?) \| ", table, flags=re.MULTILINE):
        for text in re.findall(r"`([^`]+)`", row):
            for piece in filter(None, map(str.strip, text.split("..."))):
                piece = re.sub(r"\W+$|^\W+", "", piece)
                assert piece in said, f"nothing says {piece!r}"
                checked += 1
    assert checked > 25
