"""ministack, a third-party emulator of AWS, patched to behave as AWS does where the template depends on it.

    GATEWAY_PORT=4500 python tests/deployed/ministack_server.py

Every patch describes what AWS does and ministack does not. The server checks the internals that a patch needs: if a
version of ministack lacks one, the server does not start. Environment: the variables of ministack, and
AWS_ENDPOINT_URL_STS, the URL of ec2-sim, which issues the functions' credentials. With `--until-stdin-closes`, the
server and its functions end when the standard input closes.
"""

import functools
import inspect
import io
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
import zipfile
from pathlib import Path

import botocore.session

# ministack's own default; its modules read these when they are imported.
PORT = os.environ.setdefault("GATEWAY_PORT", "4566")
os.environ.setdefault("BIND_HOST", "127.0.0.1")
os.environ.setdefault("MINISTACK_ACCOUNT_ID", "111122223333")
# Listeners of services that are not used here.
os.environ.update(IOT_MTLS_ENABLED="0", SFTP_ENABLED="0")
# ministack passes it on to the functions.
os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{PORT}"

import ministack_recipes  # noqa: E402, F401
from ministack import app  # noqa: E402
from ministack.core import lambda_runtime, responses  # noqa: E402
from ministack.services import cloudwatch, eventbridge, lambda_svc, sqs, sts  # noqa: E402
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks  # noqa: E402

logger = logging.getLogger("ministack_server")


# What the patches call, in addition to what they replace.
CALLED = {
    cloudwatch: ("_metric_bucket", "_dims_key", "_put_metric_data"),
    changesets: ("_evaluate_conditions",),
    engine: ("_resolve_refs",),
    eventbridge: ("_dispatch_event", "_event_buses"),
    handlers: ("_evaluate_conditions",),
    lambda_runtime: ("_account_region_from_function_config",),
    lambda_svc: ("_extract_zip_preserving_mode", "_provided_code_lock", "_resolve_layer_zip"),
    provisioners: ("_RESOURCE_HANDLERS",),
    responses: ("error_response_json", "get_account_id", "get_region", "request_scope"),
    sqs: ("_Err", "_HANDLERS", "_queue_by_arn", "_queues"),
    stacks: ("_evaluate_conditions",),
    sts: ("register_session",),
}
for module, names in CALLED.items():
    for name in names:
        if not hasattr(module, name):
            sys.exit(f"ministack_server: {module.__name__}.{name} is missing: another ministack?")


def patch(owner, name: str, parameters: str):
    """Replaces `owner.name` with the result of the decorated function. Its parameters must be as given."""
    original = getattr(owner, name, None)
    found = " ".join(inspect.signature(original).parameters) if original else "nothing"
    if found != parameters:
        sys.exit(f"ministack_server: {owner.__name__}.{name} takes ({found}), not ({parameters}): another ministack?")

    def decorate(make):
        setattr(owner, name, functools.wraps(original)(make(original)))
        return make

    return decorate


# ---- EventBridge ----


@patch(eventbridge, "_put_events", "data allow_aws_source")
def take_events_of_aws_services(put_events):
    """Only AWS can send events with `aws.` sources; all others are refused. Here, ec2-sim sends them."""
    return functools.partial(put_events, allow_aws_source=True)


@patch(eventbridge, "_dispatch_to_event_bus", "spec event rule event_path target_input_payload")
def forward_to_other_accounts(dispatch):
    """A rule's target may be a bus of another account or Region; the event keeps its own account and Region.

    ministack drops such an event.
    """

    def dispatch_anywhere(spec, event, rule, event_path, target_input_payload=None):
        if (spec.account_id, spec.region) == (responses.get_account_id(), responses.get_region()):
            return dispatch(spec, event, rule, event_path, target_input_payload)
        bus = spec.resource.removeprefix("event-bus/")
        with responses.request_scope(spec.account_id, spec.region):
            if bus not in eventbridge._event_buses:
                raise LookupError(f"there is no event bus {spec}")
            # The path is of rules that the event passed in its own account.
            eventbridge._dispatch_event({**event, "EventBusName": bus, "_DispatchPath": []})

    return dispatch_anywhere


@patch(eventbridge, "_validate_target_arn", "target")
def refuse_retry_policies_on_buses(validate):
    """PutTargets refuses a RetryPolicy on a target that is an event bus."""

    def validate_all(target):
        if ":event-bus/" in target.get("Arn", "") and "RetryPolicy" in target:
            message = "Retry policy is not supported for Event bus targets"
            return responses.error_response_json("ValidationException", message, 400)
        return validate(target)

    return validate_all


@patch(provisioners, "_eb_rule_create", "logical_id props stack_name")
def create_rules_with_put_targets(create):
    """CloudFormation creates a rule's targets with PutTargets. ministack's does not validate them."""

    def create_valid(logical_id, props, stack_name):
        for target in props.get("Targets") or []:
            if refused := eventbridge._validate_target_arn(target):
                raise ValueError(f"AWS::Events::Rule PutTargets failed: {refused[2].decode()}")
        return create(logical_id, props, stack_name)

    return create_valid


provisioners._RESOURCE_HANDLERS["AWS::Events::Rule"]["create"] = provisioners._eb_rule_create


# ---- CloudFormation ----

VALUE_FUNCTIONS = {"Ref", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::Sub"}


@patch(engine, "_evaluate_conditions", "template params")
def resolve_values_in_conditions(evaluate):
    """Conditions compare values as functions give them. ministack knows Ref of parameters there, and little else."""

    def resolve(part, params):
        if isinstance(part, list):
            return [resolve(item, params) for item in part]
        if not isinstance(part, dict):
            return part
        if part.keys() & VALUE_FUNCTIONS:
            return engine._resolve_refs(part, {}, params, {}, {}, "", "")
        return {key: item if key == "Condition" else resolve(item, params) for key, item in part.items()}

    def evaluate_resolved(template, params):
        conditions = resolve(template.get("Conditions", {}), params)
        return evaluate({**template, "Conditions": conditions}, params)

    return evaluate_resolved


for importer in (changesets, handlers, stacks):
    importer._evaluate_conditions = engine._evaluate_conditions


def with_integers(props: dict) -> dict:
    """CloudFormation converts a parameter, which is text, to the type of a property. ministack does so for batches."""
    scaling = {key: int(value) for key, value in props.get("ScalingConfig", {}).items()}
    return props | ({"ScalingConfig": scaling} if scaling else {})


@patch(provisioners, "_lambda_esm_create", "logical_id props stack_name")
def create_with_integers(original):
    return lambda logical_id, props, stack_name: original(logical_id, with_integers(props), stack_name)


@patch(provisioners, "_lambda_esm_update", "physical_id old_props new_props stack_name")
def update_with_integers(original):
    return lambda physical_id, old, new, stack_name: original(physical_id, old, with_integers(new), stack_name)


MAPPING = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
MAPPING |= {"create": provisioners._lambda_esm_create, "update": provisioners._lambda_esm_update}


# ---- Lambda ----


@patch(lambda_svc, "_provided_worker_env", "config code_dir port")
def give_functions_their_roles(environment):
    """A function has credentials of its role, which ec2-sim has to know, too. ministack's are those of a user.

    They last for 12 hours, as long as a session of STS can.
    """

    def environment_of_role(config, code_dir, port):
        env = environment(config, code_dir, port) | {"LAYERS": layers(config)}
        if endpoint := os.environ.get("AWS_ENDPOINT_URL_STS"):
            account, region = lambda_runtime._account_region_from_function_config(config)
            client = botocore.session.get_session().create_client(
                "sts",
                endpoint_url=endpoint,
                region_name=region,
                aws_access_key_id=account,
                aws_secret_access_key="secret",
            )
            session = client.assume_role(
                RoleArn=config["Role"], RoleSessionName=config["FunctionName"], DurationSeconds=43200
            )
            credentials = session["Credentials"]
            # ministack knows by it which account a call is of.
            sts.register_session(credentials["AccessKeyId"], {"Arn": session["AssumedRoleUser"]["Arn"]})
            env["AWS_ACCESS_KEY_ID"] = credentials["AccessKeyId"]
            env["AWS_SECRET_ACCESS_KEY"] = credentials["SecretAccessKey"]
            env["AWS_SESSION_TOKEN"] = credentials["SessionToken"]
        return env

    return environment_of_role


# Removed when the server ends.
LAYERS = tempfile.TemporaryDirectory(prefix="layers-")


def layers(config: dict) -> str:
    """The folder with the contents of the function's layers."""
    folder = tempfile.mkdtemp(dir=LAYERS.name)
    for layer in config.get("Layers") or []:
        if content := lambda_svc._resolve_layer_zip(layer):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                lambda_svc._extract_zip_preserving_mode(archive, folder)
    return folder


# Root may mount; anyone else may in a user namespace.
UNSHARE = "unshare --mount" if os.geteuid() == 0 else "unshare --map-root-user --mount"
MOUNT = 'mount --bind "$LAYERS" /opt'


@patch(lambda_svc, "_provided_runtime_code_dir", "code_zip")
def put_layers_at_opt(code_dir):
    """Layers are at /opt. ministack has none for this runtime: the function gets a mount namespace of its own."""

    def code_dir_with_layers(code_zip):
        code = code_dir(code_zip)
        entry = Path(f"{code}-with-layers", "bootstrap")
        run = f'{MOUNT} && cd "$0" && exec ./bootstrap'
        # No function is started while a script is written: it could not be executed.
        with lambda_svc._provided_code_lock:
            if not entry.exists():
                entry.parent.mkdir()
                entry.write_text(f"#!/bin/sh\nexec {UNSHARE} sh -c {shlex.quote(run)} {shlex.quote(code)}\n")
                entry.chmod(0o755)
        return str(entry.parent)

    return code_dir_with_layers


@patch(lambda_runtime.ProvidedWorker, "_pump_output", "self stream log_queue")
def extract_metrics(pump):
    """CloudWatch turns lines in its embedded metric format into metrics."""

    def pump_and_extract(self, stream, log_queue):
        pump(self, Lines(stream, self.config), log_queue)

    return pump_and_extract


class Lines:
    """A function's output. Each line is checked for metrics as it is read."""

    def __init__(self, stream, config: dict):
        self.stream = stream
        self.scope = lambda_runtime._account_region_from_function_config(config)

    def readline(self) -> bytes:
        line = self.stream.readline()
        try:
            put_metrics(line, self.scope)
        except Exception:
            # If it were raised, the function's output would no longer be read.
            logger.exception("metrics that CloudWatch would not extract: %r", line)
        return line

    def close(self):
        self.stream.close()


def put_metrics(line: bytes, scope: tuple[str, str]):
    """Puts the metrics of the line, if it has any: each once for every set of dimensions, the empty one included."""
    if b'"_aws"' not in line:
        return
    document = json.loads(line)
    for directive in document["_aws"]["CloudWatchMetrics"]:
        data = [
            {
                "MetricName": metric["Name"],
                "Unit": metric.get("Unit", "None"),
                "Timestamp": document["_aws"]["Timestamp"] / 1000,
                "Dimensions": [{"Name": name, "Value": document[name]} for name in dimensions],
                "Values": value if isinstance(value := document[metric["Name"]], list) else [value],
            }
            for metric in directive["Metrics"]
            for dimensions in directive["Dimensions"]
        ]
        with responses.request_scope(*scope):
            cloudwatch._put_metric_data({}, {"Namespace": directive["Namespace"], "MetricData": data}, False, True)


@patch(lambda_runtime.ProvidedWorker, "_drain_stderr_bounded", "self first_line_wait idle_confirm hard_cap")
def wait_for_lines(drain):
    """Every line of an invocation is logged. ministack, on a busy machine, leaves some of them to the next one."""
    return lambda self, **_: drain(self, first_line_wait=1.0, idle_confirm=0.1, hard_cap=2.0)


# ---- CloudWatch ----


@patch(cloudwatch, "_store_datum", "namespace name dims ts unit value values counts stat_values")
def publish_as_ec2_does(store):
    """Callers cannot put metrics into namespaces of AWS; here, tests put those of EC2.

    A value that is put again replaces the one at the same time, so that a test can write days anew.
    """

    def store_datum(namespace, name, dims, ts, *value):
        if namespace == "AWS/EC2":
            points = cloudwatch._metric_bucket((namespace, name, cloudwatch._dims_key(dims)))
            points[:] = [point for point in points if point["Timestamp"] != ts]
        store(namespace, name, dims, ts, *value)

    return store_datum


# ---- SQS ----


def start_message_move_task(data: dict, url: str) -> dict:
    """Moves the messages of a dead-letter queue: all at once, where SQS takes a while."""
    source = sqs._queue_by_arn(data["SourceArn"])
    redriving = {
        queue["attributes"]["QueueArn"]: queue
        for _, queue in sqs._queues.items()
        if f'"{data["SourceArn"]}"' in str(queue["attributes"].get("RedrivePolicy"))
    }
    if not source or not redriving:
        raise sqs._Err("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
    # Without a destination, a message goes back where it came from.
    (origin,) = redriving if len(redriving) == 1 else (None,)
    target = sqs._queue_by_arn(data.get("DestinationArn", origin))
    if not target:
        raise sqs._Err("ResourceNotFoundException", "The destination queue does not exist.")
    messages, source["messages"] = source["messages"], []
    for message in messages:
        target["messages"].append(message | {"receive_count": 0, "receipt_handle": None, "visible_at": 0})
    move_tasks.insert(
        0,
        {
            "SourceArn": data["SourceArn"],
            "Status": "COMPLETED",
            "ApproximateNumberOfMessagesMoved": len(messages),
            "ApproximateNumberOfMessagesToMove": len(messages),
        },
    )
    return {"TaskHandle": str(uuid.uuid4())}


def list_message_move_tasks(data: dict, url: str) -> dict:
    return {"Results": [task for task in move_tasks if task["SourceArn"] == data["SourceArn"]][:1]}


move_tasks: list[dict] = []
assert "StartMessageMoveTask" not in sqs._HANDLERS, "ministack has it now: remove it here"
sqs._HANDLERS["StartMessageMoveTask"] = start_message_move_task
sqs._HANDLERS["ListMessageMoveTasks"] = list_message_move_tasks


# ---- The server ----


def end_with_stdin():
    """Kills this process and its functions, which are in its group, when standard input ends."""
    while sys.stdin.buffer.read(1):
        pass
    LAYERS.cleanup()
    os.killpg(0, signal.SIGKILL)


def main():
    mounted = subprocess.run(
        [*UNSHARE.split(), "sh", "-c", MOUNT], env=os.environ | {"LAYERS": layers({})}, capture_output=True, text=True
    )
    if mounted.returncode:
        sys.exit(f"ministack_server: no function could have its layers at /opt: {mounted.stderr}")
    if "--until-stdin-closes" in sys.argv:
        # Otherwise, it would kill the process that started it.
        assert os.getpgid(0) == os.getpid(), "it must lead a process group of its own"
        threading.Thread(target=end_with_stdin, daemon=True).start()
    sys.argv = sys.argv[:1]
    app.main()


if __name__ == "__main__":
    main()
