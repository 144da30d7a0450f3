"""Rules of the tree that no compiler checks. docs/architecture.md, "Includes", says why.

Each rule is a function of one file's path and text, so that the tests at the end can show that it finds what it
is there to find.
"""

import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]

# From the top down: a folder includes from itself and from the lines below its own, never from one above or
# beside it. A folder stands for those in it.
LAYERS = [
    ["server/main.cc"],
    ["server/api"],
    ["server/lifecycle", "gateway"],
    ["server/readiness"],
    ["server/platforms"],
    ["server/registry"],
    ["server/routing", "server/contract", "server/launch"],
    ["server/catalog", "server/config"],
    ["server/io"],
    ["server/base"],
]
# The gateway is a program in the program: it knows routes, never where they come from.
GATEWAY_SEES = ["gateway", "server/routing", "server/contract", "server/base"]
PURE = ["gateway", "server/routing"]
CONVENIENT_PARSERS = re.compile(r"nlohmann/|yaml-cpp/")
OURS = ("server", "gateway", "clients", "docker")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
# Where somebody built this once. Example paths in documents are /models/x and the like.
MACHINE_PATH = re.compile(r"(?<![\w./])/(?:work/|tmp/wt/|home/(?!me\b|user\b|you\b)\w+/|Users/\w+/)")
TEXT = (".cc .h .py .sh .cmake .txt .md .yaml .yml .json .proto .ts .mjs .js .go .dict .run").split()


def inside(path, folder):
    return path == folder or path.startswith(folder + "/")


def layer_of(path):
    for level, folders in enumerate(LAYERS):
        for folder in folders:
            if inside(path, folder):
                return level, folder
    return None


def includes_upwards(path, text):
    mine = layer_of(path)
    if mine is None:
        return []
    findings = []
    for included in INCLUDE.findall(text):
        theirs = layer_of(included)
        if theirs is None:
            continue
        if mine[1] == "gateway":
            allowed = any(inside(included, folder) for folder in GATEWAY_SEES)
        else:
            allowed = theirs[1] == mine[1] or theirs[0] > mine[0]
        if not allowed:
            findings.append(f"{path} includes {included}, which is not below {mine[1]}")
    return findings


def parsers_where_they_must_not_be(path, text):
    if path.endswith(".h"):
        place = "a header"
    elif any(inside(path, folder) for folder in PURE):
        place = "gateway/ or server/routing"
    else:
        return []
    return [
        f"{path} includes {included} in {place}"
        for included in INCLUDE.findall(text)
        if CONVENIENT_PARSERS.match(included)
    ]


def machine_paths(path, text):
    return [
        f"{path}:{number}: names a path of one machine: {line.strip()[:120]}"
        for number, line in enumerate(text.splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]


def missing_pragma_once(path, text):
    if path.endswith(".h") and "#pragma once" not in text:
        return [f"{path} has no #pragma once"]
    return []


def tracked_files():
    """What git tracks; in an unpacked archive, what lies there."""
    listed = subprocess.run(["git", "-C", TOP, "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.split("\0")[:-1]
    else:
        names = [str(file.relative_to(TOP)) for file in TOP.rglob("*") if file.is_file()]
    left_out = ("build/", ".git/")
    return [
        name for name in names
        if not name.startswith(left_out) and "node_modules/" not in name
        and (pathlib.Path(name).suffix in TEXT or name == ".ci/run") and (TOP / name).is_file()
    ]


def findings_of(rule, *folders):
    files = [name for name in tracked_files() if not folders or name.startswith(folders)]
    assert files, "found no files to look at"
    found = []
    for name in files:
        found += rule(name, (TOP / name).read_text(encoding="utf-8"))
    return found


SOURCES = tuple(folder + "/" for folder in OURS)


def test_includes_go_downwards():
    assert findings_of(includes_upwards, *SOURCES) == []


def test_parsers_stay_out_of_headers_and_of_the_request_path():
    assert findings_of(parsers_where_they_must_not_be, *SOURCES) == []


def test_headers_are_included_once():
    assert findings_of(missing_pragma_once, *SOURCES, "tests/") == []


def test_no_file_names_a_path_of_one_machine():
    assert findings_of(machine_paths) == []


def test_every_server_folder_has_its_place():
    folders = {pathlib.PurePath(name).parts[1] for name in tracked_files() if name.startswith("server/")}
    homeless = [
        folder for folder in folders if "." not in folder and layer_of(f"server/{folder}/a.h") is None
    ]
    assert homeless == []


# The rules find what they are there for.


def test_rule_sees_an_include_that_goes_up_or_aside():
    for path, included in [
        ("server/base/a.h", "server/io/file.h"),
        ("server/registry/a.cc", "server/platforms/platform.h"),
        ("server/catalog/a.cc", "server/config/b.h"),
        ("server/lifecycle/a.cc", "gateway/gateway.h"),
        ("gateway/http/a.cc", "server/registry/registry.h"),
        ("gateway/a.cc", "server/io/file.h"),
    ]:
        assert includes_upwards(path, f'#include "{included}"\n'), (path, included)


def test_rule_lets_an_include_that_goes_down_pass():
    for path, included in [
        ("server/main.cc", "gateway/gateway.h"),
        ("server/platforms/local_process/a.cc", "server/platforms/platform.h"),
        ("server/readiness/a.cc", "server/registry/registry.h"),
        ("gateway/chat/a.cc", "server/base/body_sink.h"),
        ("gateway/a.cc", "gateway/http/head.h"),
    ]:
        assert includes_upwards(path, f'#include "{included}"\n') == [], (path, included)


def test_rule_sees_a_parser_in_a_header_and_in_the_gateway():
    for path in ["server/io/a.h", "gateway/chat/a.cc", "server/routing/a.cc"]:
        assert parsers_where_they_must_not_be(path, "#include <nlohmann/json.hpp>\n"), path
        assert parsers_where_they_must_not_be(path, "#include <yaml-cpp/yaml.h>\n"), path
    assert parsers_where_they_must_not_be("server/catalog/a.cc", "#include <yaml-cpp/yaml.h>\n") == []


def test_rule_sees_a_path_of_one_machine():
    assert machine_paths("README.md", "cd /home/" + "alice/src\n")
    assert machine_paths("README.md", "--mount /data/x:/models/x:ro\n") == []
