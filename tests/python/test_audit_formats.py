"""imdsctl audit: its formats, with text in tags that tries to be something else."""

import csv
import io
import json
import re

import pytest
from audits import NO_GATE, Terminal, add, columns, document, hidden, policy
from fleet import HOSTILE, imdsctl
from processes import ACCOUNT, REGION, Ec2Sim

ROW = {
    "account",
    "region",
    "instanceId",
    "name",
    "state",
    "decision",
    "mode",
    "usage",
    "source",
    "before",
    "change",
} | {
    "reasons",
    "warnings",
}
ENDING = {"createdAt", "complete", "policy", "usageDays", "sources", "errors", "warnings"}
FORMULA = "=+-@＝＋－＠\t\r"
TEXTS = [
    HOSTILE,
    '=HYPERLINK("http://x")',
    "+1",
    "-1+1|cmd",
    "@SUM(A1)",
    "  =1",
    "＝1",
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=alert(1)>",
    "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\x08",
    "\u202egnp.exe \u2066x\u2069 \u200b\u200f\u061c",
    "\u2028\u2029\ufeff\u00ad\U000e0041",
    "two\nlines\ttab",
    "\\x00 \\u0000 %s {} {0}",
    "'; DROP TABLE x;--",
    "$(touch hacked)`touch hacked`",
    "🦀" * 120,
    "漢字" * 120,
    "שלום עולם " * 25,
    "e\u0301" * 120,
    "a" * 256,
]
# XML has none of these control characters: ec2-sim's answers have a replacement character.
NAMES = {re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "\ufffd", text) for text in TEXTS} | {"many", "long"}
FORMATS = ("table", "json", "csv", "html")


@pytest.fixture
def sim(start) -> Ec2Sim:
    return start(Ec2Sim)


@pytest.fixture
def hostile(sim) -> Ec2Sim:
    """Instances with these texts in tags that are shown or read."""
    for text in TEXTS:
        tags = {"Name": text, "imds:HttpPutResponseHopLimit": text, "aws:autoscaling:groupName": text}
        add(sim, tags=tags)
    many = {f"imds:{number:03}" + "\x1b[31m" * 8 + "k" * 60: "\u202e" * 128 + "v" * 128 for number in range(49)}
    add(sim, tags=many | {"Name": "many"})
    add(sim, tags={f"imds:{number:03}" + "k" * 117: "v" * 256 for number in range(49)} | {"Name": "long"})
    return sim


def test_json_is_one_document_with_a_fixed_set_of_keys(sim, tmp_path):
    empty = document(sim, exits=0)
    assert (empty.keys(), empty["instances"]) == ({"instances"} | ENDING, [])
    add(sim, tags={"Name": "web", "aws:autoscaling:groupName": "web"})
    add(sim, tokens="required", state="stopped")
    add(sim, operator="eks.amazonaws.com")
    audit = document(sim, "--policy", policy(tmp_path, NO_GATE), exits=1)
    assert audit.keys() == {"instances"} | ENDING
    assert {frozenset(row) for row in audit["instances"]} == {frozenset(ROW)}
    assert len(audit["instances"]) == 3 and audit["complete"] is True
    web = next(row for row in audit["instances"] if row["name"] == "web")
    assert (web["account"], web["region"], web["state"], web["mode"]) == (ACCOUNT, REGION, "running", "enforce")
    assert web["source"]["kind"] == "auto-scaling-group" and web["source"]["id"] == "web"
    assert (web["before"]["HttpTokens"], web["change"]) == ("optional", {"HttpTokens": "required"})
    assert web["reasons"] == ["baseline requires HttpTokens=required"]


def test_every_format_has_every_instance(sim, tmp_path):
    ids = add(sim, 1500)
    file = policy(tmp_path, NO_GATE)
    for kind in FORMATS:
        ended = imdsctl("audit", "--policy", file, "--usage-days", "0", "--format", kind, url=sim.url)
        assert ended.returncode == 1
        assert sorted(set(re.findall(r"i-[0-9a-f]{17}", ended.stdout))) == sorted(ids), kind
        assert "0 of 1,500 instances are as required; 1,500 to change" in ended.stdout + ended.stderr


def test_no_format_prints_what_a_terminal_obeys(hostile):
    for kind in FORMATS:
        ended = imdsctl("audit", "--format", kind, url=hostile.url)
        assert ended.returncode == 1, ended.stderr
        assert hidden(ended.stdout + ended.stderr) == set(), kind


def test_json_has_the_text_itself(hostile):
    audit = document(hostile, exits=1)
    names = {row["name"] for row in audit["instances"]}
    assert names == NAMES


def test_csv_is_read_as_csv_and_has_no_formulas(hostile):
    text = imdsctl("audit", "--format", "csv", url=hostile.url).stdout
    header, *records = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header[:7] == ["account", "region", "instanceId", "name", "state", "decision", "mode"]
    assert len(records) == len(TEXTS) + 2 and {len(record) for record in records} == {len(header)}
    cells = [cell for record in records for cell in record]
    for cell in cells:
        assert not cell.lstrip().startswith(tuple(FORMULA)), repr(cell)
    # Where the separator is a semicolon or a tab, each part may become a cell of its own.
    parts = [part for cell in cells for part in re.split("[;\t]", cell)]
    assert [part for part in parts if part.lstrip().startswith(tuple(FORMULA))] == []
    names = {record[3] for record in records}
    assert {"'+1", "'@SUM(A1)", "'  =1", "'＝1", r"two\nlines\u{9}tab"} <= names, names


def test_html_has_no_markup_from_tags(hostile):
    page = imdsctl("audit", "--format", "html", url=hostile.url).stdout
    assert page.count("<script") == page.count("</script>") and "window.hacked" in page
    assert "<script>window" not in page and "<img" not in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page), "nothing is loaded from elsewhere"


def test_a_table_fits_80_columns_with_any_text(hostile):
    shown = Terminal(hostile, "audit")
    lines = shown.lines()
    assert shown.code == 1 and hidden("".join(lines)) == set()
    sources = next(number for number, line in enumerate(lines) if "with findings" in line)
    table = lines[:sources]
    assert [line for line in table if columns(line) > 80] == []
    rows = [line for line in table if line.startswith("i-")]
    assert len(rows) == len(TEXTS) + 2 and all(row[19:21] == row[32:34] == "  " for row in rows)
    assert " ".join("".join(table).split()).count("and 46 more") == 2, "of 50 warnings, three are printed"


def test_the_lines_of_sources_fit_80_columns_with_any_text(hostile):
    lines = Terminal(hostile, "audit").lines()
    # A command is not wrapped, so that it can be copied.
    assert [line for line in lines if columns(line) > 80 and not line.startswith("     ")] == []


@pytest.mark.parametrize("width", [80, 100, 160, 400])
def test_a_table_takes_the_width_of_the_terminal(sim, width):
    add(sim, 3, tags={"Name": "web " * 40})
    lines = Terminal(sim, "audit", "--usage-days", "0", columns=width).lines()
    # A command is not wrapped.
    widest = max(columns(line) for line in lines if not line.startswith("     "))
    assert min(width, 160) - 30 < widest <= min(width, 160)


def test_a_plan_has_no_hostile_text_either(hostile, tmp_path):
    plan = tmp_path / "plan.json"
    ended = imdsctl("plan", "--policy", policy(tmp_path, NO_GATE), "--output", plan, url=hostile.url)
    assert (ended.returncode, hidden(ended.stdout)) == (1, set())
    assert hidden(plan.read_text()) == set()
    written = json.loads(plan.read_text())
    assert {change["name"] for change in written["changes"]} == NAMES
    assert all(change["change"] == {"HttpTokens": "required"} for change in written["changes"]), "no tag loosens"
    assert not list(tmp_path.glob("**/hacked"))


def test_what_aws_answers_reaches_no_terminal_raw(sim, tmp_path):
    message = "\x1b]0;x\x07 \u202e bad \x9b31m"
    fault = {"error": {"code": "Evil", "status": 400, "message": message}}
    sim.fault(kind=fault, action="DescribeInstances", when="always")
    for kind in FORMATS:
        ended = imdsctl("audit", "--format", kind, url=sim.url)
        assert ended.returncode == 2 and "Evil" in ended.stdout + ended.stderr
        assert hidden(ended.stdout + ended.stderr) == set(), kind
    plan = imdsctl("plan", "--output", tmp_path / "plan.json", url=sim.url)
    assert plan.returncode == 2 and hidden(plan.stdout + (tmp_path / "plan.json").read_text()) == set()
