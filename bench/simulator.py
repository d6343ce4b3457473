"""EC2, simulated by ec2-sim, and the events of its instances."""

import json
import re
import subprocess
from pathlib import Path

import requests
from runtime_api import ACCOUNT, REGION

EVENT = Path(__file__).resolve().parent.parent / "events" / "ec2-state-running.json"


class Ec2:
    """ec2-sim with immediate changes, unless they take `apply_delay` milliseconds."""

    def __init__(self, binaries: Path, *more: str, apply_delay: int = 0):
        flags = [
            "--listen",
            "127.0.0.1:0",
            "--apply-delay",
            str(apply_delay),
            "--start-delay",
            "0",
            "--state-delay",
            "0",
        ]
        self.process = subprocess.Popen([binaries / "ec2-sim", *flags, *more], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]
        self.http = requests.Session()
        # Ignores proxy settings of the environment.
        self.http.trust_env = False

    def __enter__(self) -> "Ec2":
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()

    def launch(self, count: int) -> list[bytes]:
        """Launches instances with optional tokens and returns their state-change events."""
        authorization = f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/ec2/aws4_request, Signature=x"
        ids = []
        while len(ids) < count:
            some = min(count - len(ids), 500)
            body = {"Action": "RunInstances", "ImageId": "ami-12345678", "MinCount": some, "MaxCount": some}
            body["MetadataOptions.HttpTokens"] = "optional"
            answer = self.http.post(self.url, data=body, headers={"Authorization": authorization}, timeout=60)
            answer.raise_for_status()
            launched = re.findall(r"<instanceId>([^<]+)", answer.text)
            if len(launched) != some:
                raise RuntimeError(f"ec2-sim did not launch {some} instances: {answer.text}")
            ids += launched
        return [event(instance_id) for instance_id in ids]

    def calls(self) -> list[str]:
        return [call["action"] for call in self.http.get(f"{self.url}/_sim/calls", timeout=60).json()]

    def forget(self) -> None:
        self.http.delete(f"{self.url}/_sim/calls", timeout=60)


def event(instance_id: str) -> bytes:
    template = json.loads(EVENT.read_text())
    template["detail"]["instance-id"] = instance_id
    template["resources"] = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"]
    return json.dumps(template).encode()


def batch(events: list[bytes]) -> bytes:
    record = {"eventSource": "aws:sqs", "awsRegion": REGION, "attributes": {"ApproximateReceiveCount": "1"}}
    records = [record | {"messageId": str(n), "body": body.decode()} for n, body in enumerate(events)]
    return json.dumps({"Records": records}).encode()
