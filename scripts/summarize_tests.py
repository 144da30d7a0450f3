#!/usr/bin/python3
"""Adds up what scripts/test.sh left behind, and says what failed.

usage: summarize_tests.py RESULTS_DIRECTORY ALLOWED_SKIPS

RESULTS_DIRECTORY holds ctest's junit files, and `sections` with a line "NAME passed|failed SECONDS" each. A
test that is a pytest file counts as the tests in it. A skip whose reason ALLOWED_SKIPS does not name is a
failure. The last line of the output is "N passed, N failed, N skipped".
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

PYTEST_TOTALS = re.compile(r"^=*\s*(\d+ (?:passed|failed|skipped|error).*?) in [\d.]+s", re.MULTILINE)
PYTEST_SKIP = re.compile(r"^SKIPPED \[(\d+)\] \S+?:(?:\d+:)? (.*)$", re.MULTILINE)
PYTEST_FAILURE = re.compile(r"^(?:FAILED|ERROR) \S+?::(.*)$", re.MULTILINE)
PYTEST_TRACE = re.compile(r"^(?:E  .*|\S+\.py:\d+: .*)$", re.MULTILINE)
GTEST_FAILURE = re.compile(r"^\S+:\d+: Failure\n(?:.*\n){0,8}?(?=\n|\[)", re.MULTILINE)
GTEST_SKIP = re.compile(r"^\S+:\d+: Skipped\n(.*?)\n*^\[", re.MULTILINE | re.DOTALL)

EXPLANATION = 4000  # characters of one failing test's own words, at most


def read_allowed(path):
    """One reason a line, `*` standing for any text; empty lines and those with # are comments."""
    lines = [line.strip() for line in pathlib.Path(path).read_text().splitlines()]
    return [
        re.compile(".*".join(re.escape(part) for part in line.split("*")), re.DOTALL)
        for line in lines
        if line and not line.startswith("#")
    ]


class Totals:
    def __init__(self, allowed):
        self.allowed = allowed
        self.passed = 0
        self.skipped = 0
        self.failures = []
        self.explanations = []

    def fail(self, name, reason, count=1):
        self.failures += [f"{name}: {reason}"] * count

    def explain(self, name, texts):
        """What a reader of the summary alone needs: where it failed, and what was seen."""
        self.explanations += [f"--- {name}\n" + "\n".join(text.strip() for text in texts)[:EXPLANATION]]

    def skip(self, name, reason, count=1):
        if any(pattern.fullmatch(reason) for pattern in self.allowed):
            self.skipped += count
        else:
            self.fail(name, f'skipped because "{reason}", which tests/allowed_skips does not name', count)

    def add_case(self, preset, case):
        name = f"{preset}: {case.get('name')}"
        output = case.findtext("system-out") or ""
        status = case.get("status")
        totals = PYTEST_TOTALS.search(output)
        if status in ("run", "fail") and totals:
            self.add_pytest(name, output, totals.group(1), status)
        elif status == "run":
            self.passed += 1
        elif status == "fail":
            failure = case.find("failure")
            message = failure.get("message") if failure is not None else ""
            self.fail(name, message or "failed")
            self.explain(name, GTEST_FAILURE.findall(output) or [output[-2000:]])
        else:  # notrun, disabled
            reasons = [" ".join(text.split()) for text in GTEST_SKIP.findall(output)]
            skipped = case.find("skipped")
            message = skipped.get("message") if skipped is not None else status
            self.skip(name, reasons[0] if reasons else message)

    def add_pytest(self, name, output, summary, status):
        counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", summary)}
        self.passed += counts.get("passed", 0) + counts.get("xfailed", 0)
        failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
        named = PYTEST_FAILURE.findall(output)
        for failure in named:
            self.fail(name, failure)
        unnamed = failed - len(named)
        if unnamed > 0 or (status == "fail" and not named):
            self.fail(name, f"pytest says {summary}", max(unnamed, 1))
        if failed:
            self.explain(name, ["\n".join(PYTEST_TRACE.findall(output))])
        reasons = PYTEST_SKIP.findall(output)
        for number, reason in reasons:
            self.skip(name, reason, int(number))
        unnamed = counts.get("skipped", 0) - sum(int(number) for number, _ in reasons)
        if unnamed > 0:
            self.fail(name, "skipped without a reason", unnamed)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    results = pathlib.Path(sys.argv[1])
    totals = Totals(read_allowed(sys.argv[2]))
    for file in sorted(results.glob("*.xml")):
        for case in xml.etree.ElementTree.parse(file).getroot().iter("testcase"):
            totals.add_case(file.stem, case)
    for line in (results / "sections").read_text().splitlines():
        name, outcome, seconds = line.split()
        print(f"{name:20} {outcome:6} {seconds:>6} s")
        if outcome == "passed" and name == "thread-annotations":
            totals.passed += 1
        elif outcome == "failed":
            counted = name.endswith("-tests") and any(
                failure.startswith(f"{name.removesuffix('-tests')}: ") for failure in totals.failures
            )
            if not counted:
                totals.fail(name, "the section failed; its output is above")
    for explanation in totals.explanations[:10]:
        print(explanation)
    for failure in sorted(set(totals.failures)):
        print(f"FAILED {failure}")
    print(f"{totals.passed} passed, {len(totals.failures)} failed, {totals.skipped} skipped")
    return 1 if totals.failures or not totals.passed else 0


if __name__ == "__main__":
    sys.exit(main())
