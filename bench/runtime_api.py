"""A stand-in for Lambda's Runtime API, and a process that polls it.

tests/support/lambda.rs is another one, for tests in Rust, which run many functions at once and stop waiting for some.
This one takes the time of each poll and answer in the process that measures, and runs programs in any language. To
share one, the measurements would need a server in another process and a protocol to read its times.
"""

import contextlib
import os
import queue
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ACCOUNT, REGION = "111122223333", "us-east-1"
# The settings for measuring the function: it does not wait. As in the template, no variable names the root
# certificates, so it reads the bundle of this machine.
OURS = {"IMDS_VERIFY_SECONDS": "0", "IMDS_MODIFY_RATE": "100000"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and payload are two writes: the second would wait about 40 ms for the first to be acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.polls.put(time.perf_counter())
        payload = self.server.payloads.get()
        if payload is None:
            self.close_connection = True
            return
        self.send_response(200)
        for name, value in {
            "Lambda-Runtime-Aws-Request-Id": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + 180) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f",
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.answers.put((time.perf_counter(), self.path.rsplit("/", 1)[1], body))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Ignores errors: a process that is stopped resets its connection."""


class Process:
    """A running function. Its environment has only the given variables and those that Lambda sets."""

    def __init__(self, command: list[str | Path], environment: dict[str, str], folder: Path):
        self.api = Server(("127.0.0.1", 0), Handler)
        self.api.polls, self.api.payloads, self.api.answers = queue.Queue(), queue.Queue(), queue.Queue()
        threading.Thread(target=self.api.serve_forever, args=(0.01,), daemon=True).start()
        fixed = {
            "PATH": os.environ["PATH"],
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.api.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }
        self.log = (folder / "log").open("wb")
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part) for part in command],
            env=fixed | environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )

    def until_poll(self) -> float:
        """Seconds from start to the first poll."""
        return self.next_of(self.api.polls) - self.started

    def wait_until_idle(self):
        """Waits until the process has used no CPU for a while. Raises an error if that takes half a minute."""
        before = None
        for _ in range(100):
            if self.process.poll() is not None:
                raise RuntimeError(f"the process ended with {self.process.returncode}: {self.logged()}")
            now = self.cpu()
            if now == before:
                return
            before = now
            time.sleep(0.3)
        raise RuntimeError(f"the process does not become idle: {self.logged()}")

    def invoke(self, payload: bytes) -> float:
        """Sends a payload and returns the time of the answer."""
        return self.answer(payload)[0]

    def answer(self, payload: bytes) -> tuple[float, bytes]:
        """Sends a payload and returns the time of the answer, and the answer."""
        self.api.payloads.put(payload)
        answered, kind, body = self.next_of(self.api.answers)
        if kind != "response":
            raise RuntimeError(f"{body.decode()}\n{self.logged()}")
        return answered, body

    def next_of(self, events: queue.Queue):
        """The next item. Raises an error if the process ends first or after two minutes."""
        for _ in range(120):
            has_ended = self.process.poll() is not None
            with contextlib.suppress(queue.Empty):
                return events.get(timeout=1)
            if has_ended:
                raise RuntimeError(f"the process ended with {self.process.returncode}: {self.logged()}")
        raise RuntimeError(f"the process does not answer: {self.logged()}")

    def logged(self) -> str:
        return Path(self.log.name).read_text()

    def cpu(self) -> float:
        """Seconds of CPU so far, in user and kernel mode."""
        ticks = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def peak_memory(self) -> float:
        """The peak resident memory, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.api.payloads.put(None)
        self.api.shutdown()
        self.api.server_close()
        self.log.close()
