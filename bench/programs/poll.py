"""A minimal Lambda runtime for a Python handler: polls the Runtime API and answers.

Usage: poll.py MODULE FUNCTION
"""

import http.client
import importlib
import json
import os
import sys
from types import SimpleNamespace

PATH = "/2018-06-01/runtime/invocation/"


def main(module: str, function: str) -> None:
    handler = getattr(importlib.import_module(module), function)
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", PATH + "next")
        answer = api.getresponse()
        event, request_id = json.loads(answer.read()), answer.headers["Lambda-Runtime-Aws-Request-Id"]
        arn = answer.headers["Lambda-Runtime-Invoked-Function-Arn"]
        context = SimpleNamespace(aws_request_id=request_id, invoked_function_arn=arn)
        result = json.dumps(handler(event, context))
        api.request("POST", f"{PATH}{request_id}/response", result, {"Content-Type": "application/json"})
        api.getresponse().read()


if __name__ == "__main__":
    main(*sys.argv[1:])
