"""The start of the release build of the function."""

import os
import socket
import subprocess
from pathlib import Path

from processes import program, settings

UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
# The folders of all places in engine/src/aws/root_certificates/mod.rs.
CERTIFICATES = [
    folder for folder in ("/etc/pki", "/etc/ssl", "/opt/etc/ssl", "/etc/security/certificates") if Path(folder).is_dir()
]


def test_without_any_root_certificate_the_function_stops_and_says_so():
    """It reads the certificates while it starts, and may ask for an event before it knows that there is none."""
    hidden = " && ".join(f"mount -t tmpfs none {folder}" for folder in CERTIFICATES)
    command = [*UNSHARE, "sh", "-ec", f'{hidden} && exec "$0"', program("BOOTSTRAP", "the function's bootstrap")]
    assert CERTIFICATES, "this machine has certificates, which are hidden"
    # A Runtime API that has no event.
    with socket.create_server(("127.0.0.1", 0)) as runtime_api:
        address = "{}:{}".format(*runtime_api.getsockname())
        variables = settings(AWS_LAMBDA_RUNTIME_API=address, AWS_LAMBDA_FUNCTION_NAME="f")
        for name in ("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"):
            variables[name] = "1"
        variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = "256"
        ended = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1, ended
    assert "imds-enforcer: no root certificate was found" in ended.stderr
    assert "/etc/ssl/certs/ca-certificates.crt" in ended.stderr
