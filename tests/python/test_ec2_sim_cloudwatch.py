"""ec2-sim answers CloudWatch's clients: boto3 in both of its protocols, and the AWS CLI."""

import json
import subprocess
from datetime import datetime, timedelta, timezone

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError
from processes import ACCOUNT, REGION, Ec2Sim, settings

PROTOCOLS = {"json": "application/x-amz-json-1.0", "smithy-rpc-v2-cbor": "application/cbor"}
METRIC = "MetadataNoToken"
IDS = ["i-0123456789abcdef0", "i-0123456789abcdef1"]
TODAY = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


def day(ago: int) -> datetime:
    return TODAY - timedelta(days=ago)


def client(url: str, account: str = ACCOUNT, region: str = REGION, **credentials):
    session = boto3.Session(region_name=region)
    config = Config(retries={"total_max_attempts": 1}, read_timeout=15)
    credentials = {"aws_access_key_id": account, "aws_secret_access_key": "secret"} | credentials
    return session.client("cloudwatch", endpoint_url=url, config=config, **credentials)


@pytest.fixture(params=PROTOCOLS)
def cloudwatch(request, sim, monkeypatch):
    """A client that speaks one protocol. botocore itself prefers JSON."""
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (request.param, "query"))
    made = client(sim.url)
    assert made.meta.service_model.resolved_protocol == request.param
    sent = []
    made.meta.events.register("before-send.cloudwatch", lambda request, **_: sent.append(request))
    yield made
    content_type = PROTOCOLS[request.param].encode()
    assert sent and {request.headers["Content-Type"] for request in sent} == {content_type}


def query(number: int, instance_id: str, period: int = 86400) -> dict:
    dimensions = [{"Name": "InstanceId", "Value": instance_id}]
    metric = {"Namespace": "AWS/EC2", "MetricName": METRIC, "Dimensions": dimensions}
    return {"Id": f"q{number}", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}}


def asked(ids: list[str] = IDS) -> dict:
    """The parameters for daily sums of the last three days."""
    queries = [query(number, instance_id) for number, instance_id in enumerate(ids)]
    return {"MetricDataQueries": queries, "StartTime": day(2), "EndTime": day(-1)}


def set_sums(sim: Ec2Sim, ids: list[str], sums: list[float]):
    """Sets the sums of today, yesterday and so on."""
    days = {f"{day(ago):%Y-%m-%d}": value for ago, value in enumerate(sums)}
    sim.control("POST", "metrics", {"region": REGION, "instances": ids, "metric": METRIC, "sums": days})


def statuses(answer: dict) -> list[tuple[str, list[float]]]:
    return [(result["StatusCode"], result["Values"]) for result in answer["MetricDataResults"]]


def test_daily_sums_are_read(sim, cloudwatch):
    set_sums(sim, IDS[:1], [12, 0, 2.5, 7])
    answer = cloudwatch.get_metric_data(**asked())
    first, second = answer["MetricDataResults"]
    assert first["Timestamps"] == [day(0), day(1), day(2)]
    assert (first["Id"], first["Label"], first["StatusCode"]) == ("q0", METRIC, "Complete")
    assert first["Values"] == [12, 0, 2.5]
    assert (second["Timestamps"], second["Values"], second["StatusCode"]) == ([], [], "Complete")
    assert answer["ResponseMetadata"]["RequestId"]
    (call,) = sim.calls("GetMetricData")
    assert (call["account"], call["region"], call["instanceIds"]) == (ACCOUNT, REGION, IDS)
    assert call["parameters"]["MetricDataQueries"] == "2"


def test_what_is_put_is_read(cloudwatch):
    dimensions = [{"Name": "InstanceId", "Value": IDS[0]}]
    about = {"MetricName": METRIC, "Dimensions": dimensions, "Timestamp": day(1) + timedelta(hours=5)}
    statistics = {"SampleCount": 3, "Sum": 20, "Minimum": 1, "Maximum": 9}
    data = [
        about | {"Value": 1.5},
        about | {"Values": [1, 2], "Counts": [4, 1]},
        about | {"StatisticValues": statistics},
        {"MetricName": METRIC, "Dimensions": dimensions, "Value": 3},
    ]
    cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=data)
    assert statuses(cloudwatch.get_metric_data(**asked(IDS[:1]))) == [("Complete", [3, 27.5])]


def test_compressed_requests_are_read(cloudwatch):
    seen = []
    cloudwatch.meta.events.register(
        "before-send.cloudwatch", lambda request, **_: seen.append(request.headers.get("Content-Encoding"))
    )
    dimensions = [{"Name": "InstanceId", "Value": IDS[0]}]
    data = [{"MetricName": METRIC, "Dimensions": dimensions, "Timestamp": day(1), "Value": 1}] * 1000
    cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=data)
    assert seen == [b"gzip"] or seen == ["gzip"], seen
    assert statuses(cloudwatch.get_metric_data(**asked(IDS[:1]))) == [("Complete", [1000])]


PAGES = [
    [("PartialData", [3, 2])],
    [("Complete", [1]), ("PartialData", [3])],
    [("Complete", [2, 1])],
]


def pages(cloudwatch, **more) -> list[list[tuple[str, list[float]]]]:
    paginator = cloudwatch.get_paginator("get_metric_data")
    return [statuses(page) for page in paginator.paginate(**asked(), **more)]


def test_pages(sim, cloudwatch):
    set_sums(sim, IDS, [3, 2, 1])
    assert pages(cloudwatch, MaxDatapoints=2) == PAGES
    assert pages(cloudwatch) == [[("Complete", [3, 2, 1])] * 2]


def test_a_flag_sets_the_length_of_pages(start):
    sim = start(Ec2Sim, "--datapoints-per-page", "2")
    set_sums(sim, IDS, [3, 2, 1])
    assert pages(client(sim.url)) == PAGES


def test_errors_have_the_codes_of_cloudwatch(sim, cloudwatch):
    def refused(**more) -> tuple[str, int]:
        with pytest.raises(ClientError) as caught:
            cloudwatch.get_metric_data(**asked() | more)
        answer = caught.value.response
        return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]

    for kind, code, status in [
        ("throttle", "Throttling", 400),
        ("deny", "AccessDenied", 403),
        ("server-error", "InternalServiceError", 500),
        ({"error": {"code": "Own", "status": 418, "message": "no"}}, "Own", 418),
    ]:
        sim.fault(kind=kind, action="GetMetricData", when={"times": 1})
        assert refused() == (code, status), kind
    assert refused(NextToken="other") == ("InvalidNextToken", 400)
    assert refused(MetricDataQueries=[query(number, IDS[0]) for number in range(501)]) == ("ValidationError", 400)
    with pytest.raises(cloudwatch.exceptions.InvalidNextToken):
        cloudwatch.get_metric_data(**asked(), NextToken="other")
    with pytest.raises(cloudwatch.exceptions.MissingRequiredParameterException):
        cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=[{"MetricName": METRIC}])


def test_results_fail_inside_of_a_response(sim, cloudwatch):
    set_sums(sim, IDS, [3, 2, 1])
    complete = ("Complete", [3, 2, 1])
    for kind, failed in [
        ("forbidden", ("Forbidden", [])),
        ("partial-data", ("PartialData", [3])),
        ("internal-error", ("InternalError", [])),
    ]:
        sim.fault(kind=kind, instance=IDS[1], when={"times": 1})
        assert statuses(cloudwatch.get_metric_data(**asked())) == [complete, failed], kind
        sim.fault(kind=kind, when={"times": 1})
        assert statuses(cloudwatch.get_metric_data(**asked())) == [failed, failed], kind
        assert statuses(cloudwatch.get_metric_data(**asked())) == [complete, complete], kind


def test_a_response_that_is_cut_off_has_no_results(sim, cloudwatch):
    set_sums(sim, IDS, [3])
    sim.fault(kind="malformed", when={"times": 1})
    if cloudwatch.meta.service_model.resolved_protocol == "json":
        # botocore takes what is not JSON for a message.
        assert "MetricDataResults" not in cloudwatch.get_metric_data(**asked())
    else:
        with pytest.raises(ResponseParserError):
            cloudwatch.get_metric_data(**asked())


def test_each_account_and_region_has_its_own_metrics(sim, cloudwatch):
    set_sums(sim, IDS, [3])
    assert statuses(cloudwatch.get_metric_data(**asked(IDS[:1]))) == [("Complete", [3])]
    for account, region in [("444455556666", REGION), (ACCOUNT, "eu-west-1")]:
        other = client(sim.url, account, region)
        assert statuses(other.get_metric_data(**asked(IDS[:1]))) == [("Complete", [])], (account, region)


def test_a_session_reads_the_account_of_its_role(sim, cloudwatch):
    credentials = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "secret"}
    sts = boto3.Session(region_name=REGION, **credentials).client("sts", endpoint_url=sim.url)
    role = "arn:aws:iam::444455556666:role/Member"
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="sweep")["Credentials"]
    member = client(sim.url, assumed["AccessKeyId"], aws_session_token=assumed["SessionToken"])
    set_sums(sim, IDS, [3])
    assert statuses(cloudwatch.get_metric_data(**asked(IDS[:1]))) == [("Complete", [3])]
    assert statuses(member.get_metric_data(**asked(IDS[:1]))) == [("Complete", [])]
    call = sim.calls("GetMetricData")[-1]
    assert (call["account"], call["role"]) == ("444455556666", role)


def test_documents_that_are_not_cbor_are_refused(sim):
    for body in [b"", b"\x60", b"\xa1", b"{}"]:
        answer = requests.post(
            f"{sim.url}/service/GraniteServiceVersion20100801/operation/GetMetricData",
            data=body,
            headers={
                "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260317/{REGION}/monitoring/aws4_request",
                "smithy-protocol": "rpc-v2-cbor",
            },
            timeout=10,
        )
        assert (answer.status_code, answer.headers["smithy-protocol"]) == (400, "rpc-v2-cbor"), body
        assert b"SerializationException" in answer.content, body


def test_the_aws_cli(sim):
    def aws(*arguments: str) -> dict:
        environment = settings(AWS_ENDPOINT_URL_CLOUDWATCH=sim.url, AWS_MAX_ATTEMPTS="1", AWS_PAGER="")
        command = ["aws", "--output", "json", "cloudwatch", *arguments]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout) if ended.stdout.strip() else {}

    where = ("--namespace", "AWS/EC2", "--metric-name", METRIC, "--dimensions", f"InstanceId={IDS[0]}")
    aws("put-metric-data", *where, "--value", "4", "--timestamp", day(1).isoformat())
    times = ("--start-time", day(2).isoformat(), "--end-time", day(0).isoformat())
    answer = aws("get-metric-data", *times, "--metric-data-queries", json.dumps([query(0, IDS[0])]))
    assert statuses(answer) == [("Complete", [4])]
