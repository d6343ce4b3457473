"""IAM's decisions, as far as the templates' policies need them."""

import fnmatch

from cfn import as_list


def condition_holds(operator: str, keys: dict, context: dict) -> bool:
    """Whether all keys of an operator match; negated operators match if the key is absent."""
    return all(key_holds(operator, wanted, context.get(key)) for key, wanted in keys.items())


def key_holds(operator: str, wanted, present) -> bool:
    match operator:
        case "StringEquals" | "ArnEquals":
            return present is not None and present in as_list(wanted)
        case "StringNotEquals":
            return present is None or present not in as_list(wanted)
        case "ArnNotLike":
            return not key_holds("ArnLike", wanted, present)
        case "ForAnyValue:StringLike":
            return any(matches(value, pattern) for value in as_list(present or []) for pattern in as_list(wanted))
        case "ArnLike":
            return present is not None and any(matches_arn(present, pattern) for pattern in as_list(wanted))
        case "ForAllValues:StringEquals":
            return all(value in as_list(wanted) for value in as_list(present or []))
        case "Null":
            return (present is None) == (wanted == "true")
    raise AssertionError(f"an operator that is not known here: {operator}")


def matches_arn(arn: str, pattern: str) -> bool:
    """Matches part by part: a wildcard matches a colon only in the last part."""
    parts, patterns = arn.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(patterns) and all(map(matches, parts, patterns))


def matches(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


def is_allowed(statements: list[dict], action: str, resource: str, context: dict) -> bool:
    """Whether the statements allow the action: one allows it, and none denies it."""

    def applies(statement: dict) -> bool:
        return (
            any(matches(action, pattern) for pattern in as_list(statement["Action"]))
            and any(matches(resource, pattern) for pattern in as_list(statement.get("Resource", "*")))
            and all(condition_holds(op, keys, context) for op, keys in statement.get("Condition", {}).items())
        )

    return {statement["Effect"] for statement in statements if applies(statement)} == {"Allow"}
