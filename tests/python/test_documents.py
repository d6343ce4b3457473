"""The documents' commands are run by a test or say what they need, and their links have existing targets."""

import re

import pytest
from documents import PAGES, blocks
from processes import ROOT

# Which test runs the commands under a heading: a file that names page and heading, or has the commands themselves.
RUN_BY = {
    ("README.md", "Two commands"): ".ci/run",
    ("README.md", "The policy"): "tests/python/test_document_commands.py",
    ("README.md", "Deploy it"): "tests/deployed/cloud.py",
    ("docs/policy.md", "The watch"): "tests/deployed/cloud.py",
    ("docs/local.md", "The whole loop"): "tests/deployed/test_local.py",
    ("docs/local.md", "The function in a container"): "tests/python/test_sam_local.py",
    ("docs/local.md", "An EC2 for the AWS CLI"): "tests/python/test_document_commands.py",
    ("ec2-sim/README.md", "ec2-sim"): "tests/python/test_document_commands.py",
}
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


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
