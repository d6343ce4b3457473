"""What the recipes for outcome events need of AWS and ministack lacks: two CloudFormation types, and Security Hub.

SECURITY_HUB_URL is the URL of a Security Hub. botocore validates the parameters of each call, as Step Functions does.
"""

import json
import os

import botocore.session
from botocore.exceptions import ClientError, ParamValidationError
from ministack.core import responses
from ministack.services import eventbridge, stepfunctions
from ministack.services.cloudformation import provisioners

HANDLERS = provisioners._RESOURCE_HANDLERS
SESSION = botocore.session.Session()


def of_events(kind: str, create, delete):
    """Lets CloudFormation create and delete resources of EventBridge with ministack's own calls."""

    def created(logical_id, props, stack_name):
        name = props.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=64)
        status, _, body = create({"Name": name, **props})
        if status != 200:
            raise ValueError(f"AWS::Events::{kind} {name}: {body.decode()}")
        return name, {"Arn": json.loads(body)[f"{kind}Arn"]}

    assert f"AWS::Events::{kind}" not in HANDLERS, "ministack has it now: remove it here"
    HANDLERS[f"AWS::Events::{kind}"] = {"create": created, "delete": lambda name, props: delete({"Name": name})}


of_events("Connection", eventbridge._create_connection, eventbridge._delete_connection)
of_events("ApiDestination", eventbridge._create_api_destination, eventbridge._delete_api_destination)


def with_security_hub(invoke):
    def invoke_any(resource, input_data):
        if resource != "arn:aws:states:::aws-sdk:securityhub:batchImportFindings":
            return invoke(resource, input_data)
        client = SESSION.create_client(
            "securityhub",
            region_name=responses.get_region(),
            endpoint_url=os.environ["SECURITY_HUB_URL"],
            aws_access_key_id=responses.get_account_id(),
            aws_secret_access_key="secret",
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )
        try:
            answer = client.batch_import_findings(**input_data)
        except ParamValidationError as error:
            raise stepfunctions._ExecutionError("States.Runtime", str(error)) from error
        except ClientError as error:
            # Step Functions names an error that the service's model lacks after the service.
            code = error.response["Error"]["Code"]
            code = code if hasattr(client.exceptions, code) else "SecurityHubException"
            raise stepfunctions._ExecutionError(f"SecurityHub.{code}", str(error)) from error
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    return invoke_any


assert "securityhub" not in stepfunctions._AWS_SDK_SERVICE_MAP, "ministack has it now: remove it here"
stepfunctions._invoke_aws_sdk_integration = with_security_hub(stepfunctions._invoke_aws_sdk_integration)
