//! `imdsctl` as its users run it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod completions;
mod defaults;
mod demo;
mod expiring;
mod explain;
mod incomplete;
mod memory;
mod output;
mod policy;
mod sources;
mod staged;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use ec2_sim::Ec2Sim;
use serde_json::{Value, json};

/// The policy that is deployed by default: it requires tokens, and reads tags.
const POLICY: &str = "policy/policy.json";
/// A policy with rules on tags, accounts and Regions.
const ORGANIZATION: &str = "policy/examples/organization-with-exemptions.json";

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `imdsctl` in the project's folder, without colors.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_imdsctl"));
    command.args(arguments).current_dir(project());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the command with `input` on its standard input.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command.spawn().unwrap();
    // The process may exit with an error before it reads its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn imdsctl(arguments: &[&str], input: &str) -> Output {
    run(&mut command(arguments), input.as_bytes())
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `imdsctl` with the credentials of account 111122223333, whose AWS is `sim`. Instances and images are of Region us-east-1,
/// if no flag says otherwise.
#[expect(clippy::disallowed_methods, reason = "the settings of the machine must not reach the command")]
fn in_account(sim: &Ec2Sim, arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.envs([
        ("AWS_ENDPOINT_URL", sim.endpoint().as_str()),
        ("AWS_ACCESS_KEY_ID", "111122223333"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]);
    command
}

/// A folder of a test, which is removed after it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("imdsctl-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An instance as `aws ec2 describe-instances` prints it, with the relevant fields only.
fn instance(number: u32, tokens: &str, tags: Value) -> Value {
    json!({
        "InstanceId": format!("i-{number:017x}"),
        "State": {"Code": 16, "Name": "running"},
        "Placement": {"AvailabilityZone": "eu-west-1a"},
        "Operator": {"Managed": false},
        "Tags": tags,
        "NetworkInterfaces": [
            {"Attachment": {"DeviceIndex": 0, "AttachTime": "2026-03-01T08:00:00+00:00"}},
            {"Attachment": {"DeviceIndex": 1, "AttachTime": "2025-01-01T08:00:00+00:00"}},
        ],
        "MetadataOptions": {
            "State": "applied", "HttpTokens": tokens, "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled",
            "HttpProtocolIpv6": "disabled", "InstanceMetadataTags": "disabled",
        },
    })
}

/// When the primary network interface of [`instance`] was attached: the instance is new, and has no history.
const NEW: &str = "2026-03-01T08:00:00Z";

/// The instance without these fields; `MetadataOptions.HttpTokens` is a field of a field.
fn without(mut instance: Value, fields: &[&str]) -> Value {
    for field in fields {
        let (parent, key) = match field.split_once('.') {
            Some((parent, key)) => (&mut instance[parent], key),
            None => (&mut instance, *field),
        };
        parent.as_object_mut().unwrap().remove(key).unwrap();
    }
    instance
}

/// A whole response of DescribeInstances.
fn described(instances: &[Value]) -> String {
    json!({"Reservations": [{"OwnerId": "111122223333", "Instances": instances}]}).to_string()
}
