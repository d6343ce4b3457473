"""The documents' commands are run by a test or say what they need, links lead somewhere, and no alarm is left out."""

import re
from urllib.parse import urlsplit

import pytest
from cfn import load
from documents import PAGES, blocks
from processes import ROOT

# Which test runs the commands under a heading: a file that names page and heading, or has the commands themselves.
RUN_BY = {
    ("README.md", "Two commands"): ".ci/run",
    ("README.md", "Four commands for an existing fleet"): "tests/python/test_document_commands.py",
    ("docs/deploy.md", "Deploy"): "tests/deployed/cloud.py",
    ("docs/fleet.md", "Try it"): "tests/python/test_document_commands.py",
    ("docs/operations.md", "Start a sweep"): "tests/deployed/cloud.py",
    ("docs/outcome-events.md", "Messages by SNS"): "tests/deployed/test_recipes.py",
    ("docs/outcome-events.md", "Tickets"): "tests/deployed/test_recipes.py",
    ("docs/outcome-events.md", "Findings in Security Hub"): "tests/deployed/test_recipes.py",
    ("docs/policy.md", "Check a policy"): "tests/python/test_document_commands.py",
    ("docs/policy.md", "The watch"): "tests/deployed/cloud.py",
    ("docs/policy.md", "Have exemptions reviewed"): "tests/python/test_document_commands.py",
    ("docs/local.md", "The whole loop"): "tests/deployed/test_local.py",
    ("docs/local.md", "The function in a container"): "tests/python/test_sam_local.py",
    ("docs/local.md", "An EC2 for the AWS CLI"): "tests/python/test_document_commands.py",
    ("docs/release.md", "Deploy with the AWS CLI"): "tests/deployed/test_release.py",
    ("ec2-sim/README.md", "ec2-sim"): "tests/python/test_document_commands.py",
}
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# The templates, and what follows an alarm's logical ID in its heading: a member has an alarm of the same name as a hub.
TEMPLATES = {"TEMPLATE_JSON": "", "STANDALONE_JSON": "", "MEMBER_JSON": " of a member"}


def test_every_command_is_run_or_says_what_it_needs():
    unmarked = {(block.page, block.heading) for page in NAMES for block in blocks(page) if not block.is_marked}
    assert unmarked == RUN_BY.keys()
    for (page, heading), test in RUN_BY.items():
        text = (ROOT / test).read_text()
        assert heading in text and page in text, f"{test} does not run the commands of {page}, {heading}"


@pytest.mark.parametrize("page", NAMES)
def test_commands_are_in_blocks_that_this_test_sees(page):
    text = (ROOT / page).read_text()
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found = re.findall(r"^ {4,}(?:aws|sam|cargo|pip|imdsctl|ec2-sim|python3?|docker) .*$", outside, re.MULTILINE)
    assert not found, f"indented commands in {page}"


@pytest.mark.parametrize("page", NAMES)
def test_links_within_the_project_lead_somewhere(page):
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (folder / path).resolve() if path else ROOT / page
        assert file.exists(), f"{page} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page} links to {target}"


def links(text: str) -> list[str]:
    """The targets of links and images, and addresses between angle brackets. Code has none."""
    text = re.sub(r"```.*?```|^ {4,}.*?$|`[^`]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)]*)\)", text) + re.findall(r"<([a-z]+://[^>]*)>", text)


def is_outside(target: str) -> bool:
    return "://" in target or target.startswith(("//", "www.", "http", "mailto:"))


def is_sound(target: str) -> bool:
    """Whether the target of an outside link has the form of one, with a host that can exist."""
    parts = urlsplit(target)
    host = re.fullmatch(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", parts.hostname or "")
    return bool(host) and target.startswith("https://") and not re.search(r"\s", target)


@pytest.mark.parametrize("page", NAMES)
def test_links_to_the_outside_have_a_sound_form(page):
    unsound = [target for target in filter(is_outside, links((ROOT / page).read_text())) if not is_sound(target)]
    assert not unsound, f"{page} links to {unsound}"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#events", True),
        ("https://pypi.org/project/ministack/", True),
        ("http://docs.aws.amazon.com/", False),
        ("https://docs.aws.amazon.com/a page", False),
        ("https://localhost/", False),
        ("https://docs..amazon.com/", False),
        ("https://#events", False),
        ("https:///page", False),
        ("//docs.aws.amazon.com/", False),
        ("www.amazon.com", False),
    ],
)
def test_what_a_sound_form_is(target, expected):
    assert is_outside(target)
    assert is_sound(target) is expected


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 140


def test_the_readme_links_every_page():
    linked = {target.partition("#")[0] for target in links((ROOT / "README.md").read_text())}
    pages = {name for name in NAMES if name.startswith("docs/")}
    assert pages <= linked, pages - linked


def sections(page: str, level: int) -> dict[str, str]:
    """What is under each heading of a level, up to the next heading of that level or a higher one."""
    text = re.sub(r"```.*?```", lambda block: block[0].replace("#", ""), (ROOT / page).read_text(), flags=re.DOTALL)
    _, *parts = re.split(rf"^(#{{1,{level}}}) (.*)\n", text, flags=re.MULTILINE)
    found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {heading: body.strip() for marks, heading, body in found if len(marks) == level}


def test_every_alarm_has_a_section_of_the_runbook_and_no_other_alarm_has():
    alarms = set()
    for variable, suffix in TEMPLATES.items():
        resources = load(variable)["Resources"]
        of_template = {name for name, resource in resources.items() if resource["Type"] == "AWS::CloudWatch::Alarm"}
        assert of_template, variable
        alarms |= {f"{name}{suffix}" for name in of_template}
    found = sections("docs/operations.md", 3)
    described = {name: body for heading, body in found.items() for name in heading.split(", ") if "Alarm" in name}
    assert alarms == described.keys()
    assert all(described.values())
