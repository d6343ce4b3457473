"""The files of events/, with the IDs of existing instances."""

import json
import re

from processes import ROOT

FOLDER = ROOT / "events"
ID = re.compile(r"\bi-[0-9a-f]{17}\b")


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def text(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text()


def ids(name: str) -> list[str]:
    """The instances that the file names, including those in the bodies of SQS records, in order."""
    return list(dict.fromkeys(ID.findall(text(name))))


def about(name: str, instances: list[str]) -> dict:
    """The event, with these instances in place of those of the file."""
    stand_ins = dict(zip(ids(name), instances, strict=True))
    return json.loads(ID.sub(lambda match: stand_ins[match.group()], text(name)))


def batch(*bodies: str) -> dict:
    """An SQS batch with these bodies, its records named r0, r1, …"""
    record = json.loads(text("sqs-batch"))["Records"][0]
    return {"Records": [record | {"messageId": f"r{number}", "body": body} for number, body in enumerate(bodies)]}
