"""Checks the service control policies against AWS's service authorization reference, in the copy of policy_sentry.

Usage: check_policies.py FILE...

A Deny with a resource type that its action does not support has no effect, and AWS reports no error. Each action must
exist. Unless the statement is for every resource, the action must support a resource type that the statement names.
"""

import fnmatch
import json
import re
import sys
from pathlib import Path

from policy_sentry.querying.actions import get_action_data, get_actions_for_service


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def actions(pattern: str) -> list[str]:
    """The actions that a pattern matches."""
    service = pattern.split(":")[0]
    return [a for a in get_actions_for_service(service) if fnmatch.fnmatch(a.lower(), pattern.lower())]


def resource_types(action: str) -> set[str]:
    """The ARN formats of an action's resource types, with a wildcard for each variable."""
    service, name = action.split(":")
    formats = {row["resource_arn_format"] for row in get_action_data(service, name)[service]}
    return {re.sub(r"\$\{[^}]*\}", "*", text) for text in formats}


def overlap(one: str, other: str) -> bool:
    """Whether two ARNs with wildcards have the same service and resource type, up to the first wildcard."""
    (_, _, service, _, _, rest), (_, _, other_service, _, _, other_rest) = one.split(":", 5), other.split(":", 5)
    prefixes = [text.split("*")[0] for text in (rest, other_rest)]
    return service == other_service and any(a.startswith(b) for a, b in (prefixes, reversed(prefixes)))


def errors(statement: dict) -> list[str]:
    found = []
    resources = as_list(statement["Resource"])
    for pattern in as_list(statement["Action"]):
        if not (known := actions(pattern)):
            found.append(f"{pattern}: no action matches")
        elif resources != ["*"]:
            for action in known:
                types = resource_types(action) - {"*"}
                if not any(overlap(resource, kind) for resource in resources for kind in types):
                    found.append(f"{action}: the action supports none of these resources, only: {sorted(types) or '*'}")
    return found


def main(paths: list[Path]) -> int:
    code = 0
    for path in paths:
        for statement in json.loads(path.read_text())["Statement"]:
            for error in errors(statement):
                print(f"{path}: {statement['Sid']}: {error}", file=sys.stderr)
                code = 1
    return code


if __name__ == "__main__":
    sys.exit(main([Path(path) for path in sys.argv[1:]]))
