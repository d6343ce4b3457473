"""The report of an audit in a browser: what it says, how it is used, and what hostile tags cannot do.

One report is that of `imdsctl audit` on ec2-sim. The others, larger ones, are those that the test
`reports_for_the_browser` of imdsctl writes. Each comes with the same audit as JSON.
"""

import base64
import json
import os
import re
import statistics
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import HEIGHT, WIDTH, Browser
from conftest import starting
from processes import REGION, ROOT, Ec2Sim, program, settings, until
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

LABELS = ["as required", "to change", "in use", "blocked", "unknown", "exempt", "out of scope"]
CLASSES = {"compliant": 0, "change": 1, "in-use": 2, "blocked": 3, "exempt": 5, "out-of-scope": 6}
ROWS = """return [...document.querySelectorAll("#body .row")].map((row) =>
    [Number(row.dataset.position), ...[...row.children].map((cell) => cell.textContent)])"""
INTERACTIVE_WITHIN = 2000
# The milliseconds of a frame at 30 frames a second. What the machine paints without a GPU is not in it.
SCROLL_WORK = 33
PRINTED = 500


def label(instance: dict) -> str:
    return LABELS[CLASSES.get(instance["decision"], LABELS.index("unknown"))]


@dataclass
class Report:
    """A report, and the instances in it by what `imdsctl audit --format json` says."""

    file: Path
    instances: list[dict]

    def ids(self, selects=lambda instance: True) -> list[str]:
        return sorted(instance["instanceId"] for instance in self.instances if selects(instance))


def fill(sim: Ec2Sim):
    """Instances of several findings, some with hostile tags."""
    sim.ran_before(90, 5, HttpTokens="required")
    for count, calls, tags in [
        (4, 0, {"Name": "web", "aws:autoscaling:groupName": "web"}),
        (3, 12, {"Name": "old", "aws:cloudformation:stack-name": "old"}),
        (2, 0, {"Name": "</script><script>window.hostile=1</script>", "eks:nodegroup-name": "<img src=x onerror=a()>"}),
    ]:
        ids = sim.ran_before(90, count, HttpTokens="optional")
        sim.control("POST", "tags", {"region": REGION, "instances": ids, "tags": tags})
        sim.publish_days("MetadataNoToken", ids, calls)
    sim.ran_before(90, 2, region="eu-west-1", HttpTokens="optional")


def audit(sim: Ec2Sim, form: str, file: Path):
    command = [program("IMDSCTL_BIN", "the built imdsctl"), "audit", "--policy", ROOT / "policy/policy.json"]
    command += ["--region", REGION, "--region", "eu-west-1", "--format", form, "--output", file]
    environment = settings(AWS_ENDPOINT_URL=sim.url)
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1, ended.stderr


@pytest.fixture(scope="session")
def audited(tmp_path_factory) -> Path:
    """A folder with an audit of ec2-sim in both formats."""
    folder = tmp_path_factory.mktemp("audited")
    with starting(tmp_path_factory.mktemp("simulated")) as start:
        sim = start(Ec2Sim)
        fill(sim)
        audit(sim, "html", folder / "audited.html")
        audit(sim, "json", folder / "audited.json")
    return folder


@pytest.fixture(scope="session")
def report(request):
    """A function that returns a report by its name: `audited`, `fleet`, `large` or `hostile`."""

    def named(name: str) -> Report:
        folder = request.getfixturevalue("audited") if name == "audited" else written()
        document = json.loads((folder / f"{name}.json").read_text())
        return Report(folder / f"{name}.html", document["instances"])

    return named


def written() -> Path:
    """The folder where cargo test wrote reports."""
    folder = Path(os.environ.get("REPORTS", ""))
    if not folder.name or not folder.is_dir():
        raise FileNotFoundError("run cargo test with REPORTS set to a folder, and this test with the same")
    return folder


@pytest.fixture(scope="session")
def chromium():
    browser = Browser()
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium):
    """The browser as a person has it who changed nothing."""
    chromium.window(WIDTH, HEIGHT)
    chromium.media()
    return chromium


@pytest.fixture
def opened(browser, report):
    """A function that opens a report by its name."""

    def open_report(name: str) -> Report:
        wanted = report(name)
        browser.open(wanted.file)
        return wanted

    return open_report


def count(browser) -> str:
    return browser.one("#count").text


def counted(number: int, report: Report) -> str:
    return f"{number:,} of {len(report.instances):,} instances."


def shown_ids(browser) -> list[str]:
    """The instances that are in the document, in order: those that are visible, and some below."""
    return [row[1] for row in browser.run(ROWS)]


def focused(browser) -> str:
    return browser.run("return document.activeElement.textContent")


@pytest.mark.parametrize("name", ["audited", "fleet", "large", "hostile"])
def test_the_numbers_at_the_top_are_those_of_the_instances(browser, opened, name):
    report = opened(name)
    numbers = Counter(label(instance) for instance in report.instances)

    total = len(report.instances)
    assert browser.one("h1").text == f"{numbers['as required']:,} of {total:,} instances are as required"
    tiles = [tile.text.split("\n") for tile in browser.all(".tile")]
    assert [tile[:2] for tile in tiles] == [[label, f"{numbers[label]:,}"] for label in LABELS]
    chips = [chip.text for chip in browser.all(".chip")]
    assert chips == [f"{label} {numbers[label]:,}" for label in LABELS]
    assert count(browser) == counted(total, report)
    assert browser.complaints() == []


@pytest.mark.parametrize("field", ["account", "region"])
def test_bars_have_the_numbers_of_each_account_and_region(browser, opened, field):
    report = opened("fleet")
    total = Counter(instance[field] for instance in report.instances)
    good = Counter(instance[field] for instance in report.instances if label(instance) == "as required")

    lines = browser.run(
        """return [...document.querySelectorAll(`a[data-field="${arguments[0]}"]`)].map((link) => {
        const row = link.closest("tr");
        const widths = [...row.querySelectorAll("rect")].map((rect) => Number(rect.getAttribute("width")));
        return [link.textContent, row.querySelector(".of").textContent, row.lastChild.textContent,
            widths.reduce((all, width) => all + width, 0)]; })""",
        field,
    )
    assert {line[0]: line[1] for line in lines} == {key: f"{number} instances" for key, number in total.items()}
    for key, _, share, width in lines:
        assert abs(float(share.rstrip("%")) - 100 * good[key] / total[key]) <= 0.05, key
        assert abs(width - 1000) < 1, f"the bar of {key} is {width} wide"


def test_each_filter_selects_what_it_names(browser, opened):
    report = opened("large")

    def check(selects, what: str):
        expected = report.ids(selects)
        assert 0 < len(expected) < len(report.instances), f"{what} selects some"
        assert count(browser) == counted(len(expected), report), what
        assert set(shown_ids(browser)) <= set(expected), what
        browser.one("#reset").click()
        assert count(browser) == counted(len(report.instances), report), f"{what}, reset"

    for number, name in enumerate(LABELS):
        browser.one(f'.chip[data-class="{number}"]').click()
        check(lambda instance, name=name: label(instance) == name, name)
    for field, key in [("account", "account"), ("region", "region"), ("kind", "source")]:
        value = next(i[key] if key != "source" else i[key]["kind"] for i in report.instances if i[key])
        Select(browser.one(f"#{field}")).select_by_value(value)

        def is_it(instance, key=key, value=value):
            found = instance[key]
            return found == value if key != "source" else bool(found) and found["kind"] == value

        check(is_it, field)
    browser.one("#search").send_keys("INGEST-1")
    check(lambda instance: "ingest-1" in json.dumps(instance).lower(), "search")
    browser.one('.chip[data-class="1"]').click()
    browser.one('.chip[data-class="3"]').click()
    Select(browser.one("#region")).select_by_value("eu-west-1")
    both = ["to change", "blocked"]
    check(lambda instance: label(instance) in both and instance["region"] == "eu-west-1", "two findings in a Region")
    browser.one("#search").send_keys("no instance has this")
    assert (count(browser), shown_ids(browser)) == (counted(0, report), [])


def test_links_of_the_summary_show_their_instances(browser, opened):
    report = opened("fleet")
    for selector, selects in [
        ('.tile[data-class="2"]', lambda instance: label(instance) == "in use"),
        ('a[data-value="us-east-1"]', lambda instance: instance["region"] == "us-east-1"),
    ]:
        browser.one(selector).click()
        assert count(browser) == counted(len(report.ids(selects)), report), selector
    link = browser.one(".card .count")
    link.click()
    listed = int(count(browser).split(" of ")[0])
    assert 0 < int(link.text.split(" ")[0]) <= listed < len(report.instances), "with others, that have no findings"


SORTED_BY = {
    "id": lambda instance: instance["instanceId"],
    "name": lambda instance: instance["name"] or "",
    "account": lambda instance: instance["account"],
    "region": lambda instance: instance["region"],
    "class": lambda instance: LABELS.index(label(instance)) or len(LABELS),
    "calls": lambda instance: -1 if instance["usage"] is None else instance["usage"]["calls"],
}


@pytest.mark.parametrize("field", SORTED_BY)
def test_each_column_sorts_both_ways(browser, opened, field):
    report = opened("large")
    by_id = sorted(report.instances, key=SORTED_BY["id"])
    header = browser.one(f'[role=columnheader][data-field="{field}"]')

    seen = []
    for _ in range(2):
        header.find_element("css selector", "button").click()
        order = header.get_attribute("aria-sort")
        expected = sorted(by_id, key=SORTED_BY[field], reverse=order == "descending")
        rows = shown_ids(browser)
        assert len(rows) > 15
        assert rows == [instance["instanceId"] for instance in expected[: len(rows)]], order
        seen.append(order)
    assert sorted(seen) == ["ascending", "descending"]
    assert [h.get_attribute("aria-sort") for h in browser.all("#list [role=columnheader]")].count("none") == 6


def test_the_keyboard_is_enough(browser, opened):
    report = opened("large")

    browser.press(Keys.TAB)
    assert focused(browser) == "Skip to the instances"
    browser.press(Keys.ENTER, Keys.TAB)
    assert browser.run("return document.activeElement.id") == "search"
    browser.press("web-1", Keys.TAB)
    found = report.ids(lambda instance: "web-1" in json.dumps(instance))
    assert count(browser) == counted(len(found), report)
    for field in ["account", "region", "kind", "reset"]:
        assert browser.run("return document.activeElement.id") == field
        browser.press(Keys.TAB)
    browser.press(Keys.TAB, Keys.SPACE)
    assert browser.run("return document.activeElement.getAttribute('aria-pressed')") == "true"
    found = report.ids(lambda i: "web-1" in json.dumps(i) and label(i) == "to change")
    assert count(browser) == counted(len(found), report)
    outline = "const style = getComputedStyle(document.activeElement); return style.outlineStyle + style.outlineWidth"
    assert browser.run(outline) == "solid2px", "the focus is visible"
    browser.press(*[Keys.TAB] * 6, Keys.ENTER)
    assert focused(browser).startswith("Instance")
    assert browser.one('[role=columnheader][data-field="id"]').get_attribute("aria-sort") == "ascending"
    browser.press(*[Keys.TAB] * 7)
    assert focused(browser) == found[0]
    browser.press(Keys.DOWN, Keys.DOWN, Keys.UP, Keys.ENTER)
    assert focused(browser) == found[1]
    assert browser.run("return document.activeElement.getAttribute('aria-expanded')") == "true"
    assert "HttpTokens: optional -> required" in browser.one(".details").text
    browser.press(Keys.END)
    assert focused(browser) == found[-1]
    assert browser.run("const r = document.activeElement.getBoundingClientRect(); return r.bottom < innerHeight"), (
        "it is scrolled into view"
    )
    browser.press(Keys.HOME, Keys.PAGE_DOWN, Keys.PAGE_UP)
    assert focused(browser) == found[0]
    browser.press(Keys.DOWN, Keys.ENTER)
    assert browser.all(".details") == []


def test_details_have_what_is_known(browser, opened):
    report = opened("fleet")
    instance = next(i for i in report.instances if i["decision"] == "in-use" and i["source"] and i["name"])
    browser.one("#search").send_keys(instance["instanceId"])
    browser.one("#body .row").click()

    text = browser.one(".details").text
    calls = instance["usage"]["calls"]
    plural = "call" if calls == 1 else "calls"
    for part in [
        *instance["reasons"],
        f"{calls:,} {plural} without a token, the last on {instance['usage']['lastDay']}",
        *[f"{name}={value}" for name, value in instance["before"].items()],
        instance["source"]["id"],
    ]:
        assert part in text, part


def test_20000_instances_open_in_time_and_scroll(browser, opened):
    report = opened("large")
    assert len(report.instances) == 20_000

    times = []
    for _ in range(3):
        browser.open(report.file)
        times.append(browser.run("return performance.getEntriesByType('navigation')[0].loadEventEnd"))
        assert count(browser) == counted(20_000, report)
    print(f"from navigation to interactive, in ms: {[round(time) for time in times]}")
    assert min(times) < INTERACTIVE_WITHIN

    expected = [
        row["instanceId"] for row in sorted(report.instances, key=lambda i: (SORTED_BY["class"](i), i["instanceId"]))
    ]
    browser.run("document.getElementById('instances').scrollIntoView()")
    before = browser.spent()
    frames = browser.run_async(
        """const box = document.getElementById("box");
        const frame = () => new Promise(requestAnimationFrame);
        const times = [];
        for (let step = 0; step < 60; step += 1) {
            const before = performance.now();
            box.scrollTop += 150;
            await frame();
            times.push(performance.now() - before);
        }
        return times;"""
    )
    work = (browser.spent() - before) / len(frames)
    median = statistics.median(frames)
    print(f"a frame while scrolling, in ms: {work:.1f} of script, style and layout, {median:.1f} in all")
    assert work < SCROLL_WORK
    browser.run_async(
        """const box = document.getElementById("box");
        box.scrollTop = box.scrollHeight / 2;
        for (let step = 0; step < 3; step += 1) await new Promise(requestAnimationFrame);"""
    )
    rows = browser.run(ROWS)
    assert 20 < len(rows) < 100, "only the visible rows are in the document"
    assert rows[0][0] > 9_000 and [row[1] for row in rows] == expected[rows[0][0] : rows[-1][0] + 1]
    middle = browser.run(
        """const box = document.getElementById("box").getBoundingClientRect();
        const row = document.elementFromPoint(box.left + 50, box.top + box.height / 2).closest(".row");
        return row.dataset.position"""
    )
    assert middle is not None, "there is a row in the middle of the list"


@pytest.mark.parametrize("name", ["audited", "hostile"])
def test_hostile_tags_are_text(browser, opened, name):
    report = opened(name)

    for position in range(len(report.instances)):
        browser.run("document.querySelector(`.row[data-position='${arguments[0]}'] button`).click()", position)
        assert len(browser.one(".details").text) > 100
    for details in browser.all("main details"):
        browser.run("arguments[0].open = true", details)
    browser.one("#search").send_keys("<script>")
    assert count(browser) == counted(len(report.ids(lambda i: "<script>" in json.dumps(i))), report)
    assert "<script>window.hostile=1</script>" in browser.one("#body .row").text

    assert browser.run("return typeof window.hostile") == "undefined"
    assert re.fullmatch(r"Instance metadata options, [-\d]{10} \d\d:\d\d UTC", browser.driver.title)
    assert browser.all("img, iframe, object, embed, link, form, base, main script, svg[onload]") == []
    assert len(browser.all("script")) == 2, "the data and the script of the report"
    assert browser.requested() == [report.file.as_uri()]
    assert browser.complaints() == []


def test_a_tag_that_becomes_markup_would_be_noticed(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><script>window.hostile = 1</script><img src='missing.png'>")
    browser.open(page)
    assert browser.run("return typeof window.hostile") == "number"
    assert browser.requested() == [page.as_uri(), (tmp_path / "missing.png").as_uri()]


def test_the_page_refuses_other_scripts_styles_and_requests(browser, opened):
    opened("hostile")
    refused = browser.run_async(
        """const refused = [];
        document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
        const script = document.createElement("script");
        script.textContent = "window.hostile = 1";
        const style = document.createElement("style");
        style.textContent = "* { color: red }";
        const image = new Image();
        image.src = "missing.png";
        const frame = document.createElement("iframe");
        frame.src = "about:blank?";
        document.body.append(script, style, image);
        await fetch("missing.json").catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, 200));
        return refused;"""
    )
    assert sorted(refused) == ["connect-src", "img-src", "script-src-elem", "style-src-elem"]
    assert browser.run("return typeof window.hostile") == "undefined"


def luminance(color: str) -> float:
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_that_of_wcag_aa(browser, opened, scheme):
    browser.media(scheme=scheme)
    opened("fleet")

    def color(name: str) -> str:
        return browser.run(
            "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0])", f"--{name}"
        )

    for text in ["ink", "quiet", "accent"]:
        for back in ["page", "card", "stripe", "hover", "code"]:
            assert contrast(color(text), color(back)) >= 4.5, f"{text} on {back}"
    assert contrast(color("alarm"), color("alarm-back")) >= 4.5
    for part in [*[label.replace(" ", "-") for label in LABELS], "control", "focus"]:
        assert contrast(color(part), color("card")) >= 3, f"{part} on card"
    assert (luminance(color("page")) < 0.1) == (scheme == "dark")
    page = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert page == "rgb({}, {}, {})".format(*bytes.fromhex(color("page")[1:]))


def test_print_has_the_instances_that_the_filters_select(browser, opened):
    report = opened("large")
    browser.media(media="print", scheme="dark")
    # The page hears of another medium a moment later.
    until("all rows that are printed", lambda: len(shown_ids(browser)) == PRINTED)
    assert not browser.one(".filters").is_displayed()
    assert f"The first {PRINTED} of them are printed." in browser.one("#explorer").text
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.media()
    until("the rows of the screen", lambda: len(shown_ids(browser)) < 100)

    Select(browser.one("#account")).select_by_index(1)
    browser.one('.chip[data-class="1"]').click()
    selected = int(count(browser).split(" of ")[0])
    browser.media(media="print")
    until("the rows that the filters select", lambda: len(shown_ids(browser)) == selected)
    assert 0 < selected < PRINTED < len(report.instances)
    browser.media()
    pdf = base64.b64decode(browser.cdp("Page.printToPDF")["data"])
    assert pdf.startswith(b"%PDF-")
    assert len(shown_ids(browser)) <= selected


def test_without_javascript_the_answer_and_the_sources_stay(browser, report):
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(report("fleet").file)
        nodes = browser.cdp("DOMSnapshot.captureSnapshot", computedStyles=[], includeDOMRects=True)
        strings, document = nodes["strings"], nodes["documents"][0]
        text = " ".join(strings[index] for index in document["layout"]["text"] if index >= 0)
    finally:
        browser.cdp("Emulation.setScriptExecutionDisabled", value=False)
    assert "instances are as required" in text
    assert "The list of instances needs JavaScript." in text
    assert "aws ec2 create-launch-template-version" in text
    assert "All accounts" not in text and "Copy" not in text


def test_the_picture_of_the_documentation(browser, opened):
    opened("fleet")
    browser.run("document.documentElement.style.overflow = 'hidden'")
    picture = browser.driver.get_screenshot_as_png()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 300_000
    if os.environ.get("REPORT_PICTURE"):
        (ROOT / "docs/report.png").write_bytes(picture)


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(browser, opened, width):
    browser.window(width, HEIGHT)
    opened("hostile")
    assert browser.run("return document.documentElement.scrollWidth") <= width
