"""What the tests of the recipes share: the example events, commands of the page, queues, and an HTTP server."""

import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cloud import Stack
from documents import commands
from processes import ACCOUNT, REGION, ROOT, until

PAGE, BUS = "docs/outcome-events.md", "outcomes"
FOLDER = ROOT / "outcome-events"
EXAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted((FOLDER / "examples").glob("*.json"))}
ARN = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:{{}}"
# What a tag may have and a reason may quote: quotation marks, markup, placeholders, controls, other scripts.
HOSTILE = (
    'tag "a\\"b" </p><script>alert(\'1\')</script> <instance> {% 1/0 %} ${Account} '
    '\\u{202e} \\n line\nbreak, 鍵 "}],"x":1'
)


class Server:
    """An HTTP server that keeps requests, and responds with what is next in `answers`, or with 200."""

    def __init__(self, usual: dict):
        self.requests, self.answers = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.requests.append((self.path, dict(self.headers), body))
                status, answer, kind = outer.answers.pop(0) if outer.answers else (200, usual, "")
                sent = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent)))
                self.send_header("Content-Type", "application/json")
                self.send_header("x-amzn-ErrorType", kind)
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def deploy(cloud, heading: str, name: str, instead: dict[str, str] | None = None) -> Stack:
    """Runs the commands of the page under a heading."""
    for text in commands(PAGE, heading):
        for old, new in (instead or {}).items():
            assert old in text
            text = text.replace(old, new)
        ended = cloud.run("bash", "-euc", text)
        assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}\n{cloud.ministack.output()[-3000:]}"
    return Stack(cloud, name)


def put(cloud, name: str, **changes) -> dict:
    """Puts an example on the bus, about an instance of its own. Returns the detail."""
    event = EXAMPLES[name]
    instance_id = f"i-{uuid.uuid4().hex[:17]}"
    detail = event["detail"] | {"instanceId": instance_id} | changes
    arn = event["resources"][0].rsplit("/", 1)[0] + f"/{detail['instanceId']}"
    entry = {"Source": event["source"], "DetailType": event["detail-type"], "Resources": [arn], "EventBusName": BUS}
    answer = cloud.client("events").put_events(Entries=[entry | {"Detail": json.dumps(detail)}])
    assert answer["FailedEntryCount"] == 0
    return detail


def queue(cloud, name: str) -> str:
    return cloud.client("sqs").create_queue(QueueName=name)["QueueUrl"]


def received(cloud, url: str, text: str, never: str = "nothing like this") -> str:
    """The body of the first message with this text. Messages before it are dropped; none has the other text."""
    sqs = cloud.client("sqs")

    def wanted():
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            assert never not in message["Body"]
            if text in message["Body"]:
                return message["Body"]
        return None

    return until(f"a message with {text}", wanted)


def is_empty(cloud, url: str) -> bool:
    return not cloud.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages")
