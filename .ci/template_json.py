"""Prints a template as JSON, with intrinsic functions in their long form.

Usage: template_json.py TEMPLATE [--transform]

With --transform, applies SAM's transform to a packaged template and prints plain CloudFormation.
"""

import json
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform


class NoManagedPolicies:
    """SAM's transform loads the names of AWS managed policies; the template uses none."""

    def load(self) -> dict[str, str]:
        return {}


def read(path: Path) -> dict:
    return yaml_parse(path.read_text())


def transformed(template: dict) -> dict:
    """The plain CloudFormation of a packaged template, after SAM's transform."""
    parameters = {name: str(p.get("Default", "")) for name, p in template.get("Parameters", {}).items()}
    return transform(template, parameters, NoManagedPolicies())


def main(path: Path, is_transformed: bool) -> None:
    template = read(path)
    if is_transformed:
        template = transformed(template)
    print(json.dumps(template, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--transform" in sys.argv[2:])
