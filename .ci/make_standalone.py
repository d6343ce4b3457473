"""Generates stackset/standalone.yaml from template.yaml: plain CloudFormation for one account and Region, no hub.

Usage: make_standalone.py [--check]

A service-managed StackSet refuses templates with a macro, such as SAM's transform, so the transform is applied here.
The resources of a hub are omitted. Code and policy come from a bucket in the stack's own Region; stackset/package
uploads them.

With --check, nothing is written. Exit code 1 means that the file does not match template.yaml.
"""

import os
import re
import sys
from pathlib import Path

import yaml
from samcli.yamlhelper import yaml_parse
from template_json import read, transformed

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "stackset" / "standalone.yaml"
COMMAND = "python .ci/make_standalone.py"
HEADER = f"""\
# Generated from template.yaml. Do not edit: change template.yaml, then run, with the packages of
# .ci/requirements-tools.txt,
#     {COMMAND}
#
# Runs the functions in each account and Region of an organization, without a central role: a service-managed StackSet
# deploys this template. stackset/package uploads it with the code, and prints the commands. template.yaml has the
# reason for each setting.

"""
DESCRIPTION = (
    "Brings EC2 instances to the instance metadata options that the policy requires, in this account and Region. "
    "For a service-managed StackSet; generated from template.yaml."
)
NO_VALUE = {"Ref": "AWS::NoValue"}
# Markers: for a value that is omitted, and for a value that depends on the stack's parameters.
OMITTED, UNKNOWN = object(), object()

# The parameters for the location of the code that stackset/package uploaded.
CODE_PARAMETERS = {
    "CodeBucketPrefix": {
        "Type": "String",
        "AllowedPattern": "^[a-z0-9][a-z0-9-]{0,45}[a-z0-9]$",
        "Description": "The prefix of the names of the buckets with the code, PREFIX-REGION: Lambda loads code only "
        "from a bucket in the function's own Region. Each bucket must let this account read.",
    },
    "CodeKey": {
        "Type": "String",
        "Default": "imds-enforcer",
        "AllowedPattern": "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$",
        "Description": "The prefix of the keys of the code in the buckets.",
    },
    "CodeVersion": {
        "Type": "String",
        "AllowedPattern": "^[A-Za-z0-9._-]{1,64}$",
        "Description": "The version of code and policy, as stackset/package prints it. A new version updates the "
        "functions and the policy.",
    },
}
# Parameters whose description in template.yaml applies only to one account or to a hub.
DESCRIPTIONS = {
    "Architecture": "The instruction set architecture that the function runs on. It must be the one that "
    "stackset/package prints.",
    "AlarmTopicArn": "The ARN of the SNS topic that receives alarms, with REGION in place of the Region, as a topic "
    "must be in the alarm's own Region. The topic's policy must allow this account to publish. If empty, alarms show "
    "only in CloudWatch.",
    "Ec2EndpointUrl": "The endpoint of EC2, such as that of a VPC endpoint without private DNS. If empty, the Region's "
    "own endpoint. One endpoint serves one Region, so override it in the stacks of each Region.",
    "UseFipsEndpoints": "Whether the functions call the FIPS endpoints of AWS. Each Region must have them, for EC2, "
    "SQS and CloudWatch, and with OutcomeBus for EventBridge.",
    "OutcomeBus": "The name of an event bus, in each account and Region, that gets an event for each change, each new "
    "problem and each exemption that ends soon. If empty, no such events are sent.",
    "SubnetIds": "The subnets that the functions run in, if their calls must leave from a VPC. The VPC needs a route "
    "to EC2, SQS and CloudWatch, and with OutcomeBus to EventBridge. Override it in the stacks of each account and "
    "Region. If empty, the functions run in Lambda's own network.",
    "SecurityGroupIds": "The security groups of the functions in SubnetIds. They must allow outbound HTTPS (TCP 443). "
    "Override it with SubnetIds.",
    "IamPath": "The path of all IAM roles and policies. It begins and ends with a slash.",
    "PermissionsBoundaryArn": "The ARN of the permissions boundary of all IAM roles. Each account uses its own policy "
    "of the same name and path; an AWS managed policy is used as it is. If empty, the roles have none.",
}
# Words for what the standalone template does not have. A description with such a word needs another wording above.
FOREIGN = re.compile(r"\bhub|\bmember|\borganization|\bsam (build|deploy|local)|samconfig", re.IGNORECASE)


def expect(is_true: bool, message: str):
    if not is_true:
        sys.exit(f"{Path(__file__).name}: {message}")


def code(file: str) -> dict:
    """The location of a file, in the form that SAM expects."""
    return {
        "Bucket": {"Fn::Sub": "${CodeBucketPrefix}-${AWS::Region}"},
        "Key": {"Fn::Sub": f"${{CodeKey}}/${{CodeVersion}}/{file}"},
    }


def plain(source: dict) -> dict:
    """The template after SAM's transform, without the metadata and tags that SAM adds."""
    names = list(source["Resources"])
    layers = [name for name in names if source["Resources"][name]["Type"] == "AWS::Serverless::LayerVersion"]
    for name in layers:
        source["Resources"][name]["Properties"]["ContentUri"] = code("policy.zip")
    source["Globals"]["Function"]["CodeUri"] = code("function-${Architecture}.zip")
    # SAM requires a Region but does not use it.
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    template = transformed(source)
    # SAM's logical ID of a layer changes with the content. One fixed ID is enough here: CodeVersion is in the content,
    # so CloudFormation replaces the layer.
    ids = {
        made: name for name in layers for made in template["Resources"] if re.fullmatch(f"{name}[0-9a-f]{{10}}", made)
    }
    expect(len(ids) == len(layers), "SAM's logical IDs of layers have an unexpected form")
    template["Resources"] = in_order({ids.get(name, name): r for name, r in template["Resources"].items()}, names)
    template = changed(template, lambda node: {"Ref": ids[node["Ref"]]} if node.get("Ref") in ids else node)
    for resource in template["Resources"].values():
        metadata = {
            k: v for k, v in resource.pop("Metadata", {}).items() if k not in ("BuildMethod", "BuildProperties")
        }
        if metadata:
            resource["Metadata"] = metadata
        properties = resource["Properties"]
        if properties.get("Tags") == [{"Key": "lambda:createdBy", "Value": "SAM"}]:
            del properties["Tags"]
    return template


def in_order(resources: dict, names: list[str]) -> dict:
    """The resources in the order of these names. A resource that SAM created follows its source."""

    def place(name: str) -> int:
        return names.index(name) if name in names else max(i for i, of in enumerate(names) if name.startswith(of))

    return dict(sorted(resources.items(), key=lambda pair: place(pair[0])))


def changed(node, change):
    """The node with `change` applied to each object in it, innermost first."""
    if isinstance(node, dict):
        return change({key: changed(value, change) for key, value in node.items()})
    if isinstance(node, list):
        return [changed(item, change) for item in node]
    return node


def constant(node, fixed: dict):
    """The value of an expression, if it depends only on the fixed parameters."""
    match node:
        case {"Ref": name}:
            return fixed.get(name, UNKNOWN)
        case {"Fn::Join": [str(separator), items]}:
            items = constant(items, fixed) if isinstance(items, dict) else [constant(item, fixed) for item in items]
            return UNKNOWN if items is UNKNOWN or UNKNOWN in items else separator.join(items)
        case str():
            return node
    return UNKNOWN


def holds(condition, fixed: dict, conditions: dict) -> bool | None:
    """Whether a condition is true, if it depends only on the fixed parameters."""
    ((function, arguments),) = condition.items()
    if function == "Condition":
        return holds(conditions[arguments], fixed, conditions)
    if function == "Fn::Equals":
        left, right = (constant(argument, fixed) for argument in arguments)
        return None if UNKNOWN in (left, right) else left == right
    values = [holds(argument, fixed, conditions) for argument in arguments]
    if function == "Fn::Not":
        return None if values[0] is None else not values[0]
    decisive = {"Fn::And": False, "Fn::Or": True}[function]
    if decisive in values:
        return decisive
    return None if None in values else not decisive


def without(node, known: dict[str, bool]):
    """The node with each Fn::If of a known condition replaced by its branch."""
    if isinstance(node, list):
        return [item for item in (without(item, known) for item in node) if item is not OMITTED]
    if not isinstance(node, dict):
        return node
    match node:
        case {"Fn::If": [str(condition), then, otherwise]} if condition in known:
            chosen = then if known[condition] else otherwise
            return OMITTED if chosen == NO_VALUE else without(chosen, known)
    pairs = ((key, without(value, known)) for key, value in node.items())
    return {key: value for key, value in pairs if value is not OMITTED}


def references(node) -> set[str]:
    """The names of parameters, resources and conditions that the node refers to."""
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    names = set()
    for key, value in node.items():
        match key, value:
            case ("Ref" | "Condition", str()):
                names.add(value)
            case "Fn::GetAtt", [str(name), *_]:
                names.add(name)
            case "Fn::If", [str(name), *_]:
                names.add(name)
            case "DependsOn", _:
                names.update([value] if isinstance(value, str) else value)
            case "Fn::Sub", _:
                text, own = (value, {}) if isinstance(value, str) else value
                used = {name.split(".")[0] for name in re.findall(r"\$\{([^!}]+)\}", text)}
                names |= used - own.keys()
        names |= references(value)
    return names


def without_hub(template: dict) -> dict:
    """The template for one account, without the resources of a hub."""
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    (hub,) = (group["Parameters"] for group in groups if "OrganizationId" in group["Parameters"])
    fixed = {}
    for name in hub:
        parameter = template["Parameters"][name]
        value = str(parameter["Default"])
        fixed[name] = value.split(",") if parameter["Type"] == "CommaDelimitedList" else value
    conditions = template["Conditions"]
    known = {name: holds(condition, fixed, conditions) for name, condition in conditions.items()}
    known = {name: value for name, value in known.items() if value is not None}
    for section in ("Resources", "Outputs"):
        kept = {name: item for name, item in template[section].items() if known.get(item.get("Condition"), True)}
        for item in kept.values():
            if item.get("Condition") in known:
                del item["Condition"]
        template[section] = without(kept, known)
    template["Rules"] = {name: r for name, r in template.get("Rules", {}).items() if not references(r) & set(hub)}
    if not template["Rules"]:
        del template["Rules"]
    return template


def for_many_accounts(template: dict, member: dict) -> dict:
    """Makes ARNs refer to the stack's own Region and account, with the expressions of the members' template."""
    topic = member["Resources"]["DeadLettersAlarm"]["Properties"]["AlarmActions"]["Fn::If"][1][0]
    boundary = member["Resources"]["ScheduleRole"]["Properties"]["PermissionsBoundary"]["Fn::If"][1]
    own = {"AlarmTopicArn": topic, "PermissionsBoundaryArn": boundary}
    for parameter, expression in own.items():
        used = references(expression) & member["Parameters"].keys()
        expect(used == {parameter}, f"the expression with {parameter} was not found in stackset/member.yaml")
        template["Parameters"][parameter]["AllowedPattern"] = member["Parameters"][parameter]["AllowedPattern"]
    template["Resources"] = changed(template["Resources"], lambda node: own.get(only_ref(node), node))
    for condition in references(boundary) & member["Conditions"].keys():
        template["Conditions"][condition] = member["Conditions"][condition]
    return template


def only_ref(node: dict) -> str | None:
    return node["Ref"] if node.keys() == {"Ref"} else None


def without_unused(template: dict) -> dict:
    """Removes unused parameters and conditions, also from the parameter groups of the console."""
    conditions = template["Conditions"]
    needed = references([template["Resources"], template["Outputs"]])
    while more := references([conditions[name] for name in needed & conditions.keys()]) - needed:
        needed |= more
    needed |= references(template.get("Rules", {}))
    template["Conditions"] = {name: c for name, c in conditions.items() if name in needed}
    template["Parameters"] = {name: p for name, p in template["Parameters"].items() if name in needed}
    interface = template["Metadata"]["AWS::CloudFormation::Interface"]
    groups = [{"Label": {"default": "Where the code is"}, "Parameters": list(CODE_PARAMETERS)}]
    for group in interface["ParameterGroups"]:
        left = [name for name in group["Parameters"] if name in template["Parameters"]]
        if left:
            groups.append(group | {"Parameters": left})
    interface["ParameterGroups"] = groups
    return template


def standalone(source: dict, member: dict) -> dict:
    template = without_hub(plain(source))
    template = for_many_accounts(template, member)
    template["Description"] = DESCRIPTION
    template["Parameters"] = CODE_PARAMETERS | template["Parameters"]
    for name, text in DESCRIPTIONS.items():
        template["Parameters"][name]["Description"] = text
    template = without_unused(template)
    check(template)
    return template


def check(template: dict):
    sections = ("Parameters", "Conditions", "Resources")
    present = set().union(*(template[section] for section in sections))
    missing = {name for name in references(template) - present if not name.startswith("AWS::")}
    expect(not missing, f"the template for one account refers to resources of a hub: {sorted(missing)}")
    for name, parameter in template["Parameters"].items():
        words = FOREIGN.search(parameter["Description"])
        expect(not words, f"the description of {name} mentions {words and words[0]!r}: set another one in DESCRIPTIONS")
    words = FOREIGN.search(str(template["Resources"]))
    expect(not words, f"a resource mentions {words and words[0]!r}, which this template does not have")


class Short:
    """An intrinsic function in its short form, with a YAML tag."""

    def __init__(self, tag: str, value):
        self.tag, self.value = tag, value


def shortened(node):
    """The node with intrinsic functions in their short form, as in template.yaml."""
    if isinstance(node, list):
        return [shortened(item) for item in node]
    if not isinstance(node, dict):
        return str(node) if isinstance(node, str) else node
    if len(node) == 1:
        ((key, value),) = node.items()
        if key in ("Ref", "Condition") and isinstance(value, str):
            return Short(f"!{key}", str(value))
        if key == "Fn::GetAtt":
            return Short("!GetAtt", ".".join(value))
        if key.startswith("Fn::"):
            return Short(f"!{key.removeprefix('Fn::')}", shortened(value))
    return {str(key): shortened(value) for key, value in node.items()}


class Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True

    def choose_scalar_style(self):
        is_short = self.event.tag and self.event.tag.startswith("!")
        if is_short and self.analysis is None:
            self.analysis = self.analyze_scalar(self.event.value)
        return "" if is_short and self.analysis.allow_block_plain else super().choose_scalar_style()

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


def write_short(dumper: Dumper, short: Short):
    if isinstance(short.value, list):
        return dumper.represent_sequence(short.tag, short.value)
    return dumper.represent_scalar(short.tag, short.value)


def write_text(dumper: Dumper, text: str):
    style = "|" if "\n" in text else ">" if len(text) > 100 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


Dumper.add_representer(Short, write_short)
Dumper.add_representer(str, write_text)


def written(template: dict) -> str:
    sections = []
    for key, value in template.items():
        # Rules use functions that have no short form.
        short = value if key == "Rules" else shortened(value)
        text = yaml.dump({key: short}, Dumper=Dumper, sort_keys=False, width=120)
        # An empty line between resources.
        sections.append(re.sub(r"(?<!:)\n(?=  \w)", "\n\n", text) if key == "Resources" else text)
    text = "\n".join(sections)
    expect(yaml_parse(text) == template, "the YAML text does not parse back to the template")
    return HEADER + text


def main(is_check: bool) -> int:
    text = written(standalone(read(ROOT / "template.yaml"), read(ROOT / "stackset" / "member.yaml")))
    if not is_check:
        TARGET.write_text(text)
    elif not TARGET.is_file() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} does not match template.yaml: run {COMMAND}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(f"usage: {COMMAND} [--check]")
    sys.exit(main("--check" in sys.argv))
