//! How much memory `imdsctl explain` needs for many instances.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::thread;

use serde_json::{Value, json};

use crate::{POLICY, command, instance};

/// The peak memory of `imdsctl explain` in bytes.
fn peak(input: &[u8], more: &[&str]) -> usize {
    // After little output, the process may have ended before its memory was read.
    (0..50).map(|_| seen_peak(input, more)).find(|peak| *peak > 0).expect("the memory of a process that runs")
}

/// The peak memory in bytes (`VmHWM`), read whenever a part of the output arrives; 0 if the process had always ended by then.
fn seen_peak(input: &[u8], more: &[&str]) -> usize {
    let mut child = command(&[&["explain", "--policy", POLICY], more].concat()).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let status = format!("/proc/{}/status", child.id());
    let peak = thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let (mut peak, mut part) = (0, [0; 4096]);
        while stdout.read(&mut part).unwrap() > 0 {
            let status = std::fs::read_to_string(&status).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            // A process that has ended has no memory.
            peak = peak.max(kilobytes.map_or(0, |number| number.parse::<usize>().unwrap()));
        }
        peak * 1024
    });
    assert_eq!(child.wait().unwrap().code(), Some(1));
    peak
}

/// An instance of some 6 KB, with the fields that EC2 sends and no decision needs.
fn whole(number: u32) -> Value {
    let mut instance =
        instance(number, "optional", json!([{"Key": "Name", "Value": format!("web-{number}")}]));
    let group = json!({"GroupId": "sg-0123456789abcdef0", "GroupName": "web servers"});
    let name = "ip-10-0-0-1.eu-west-1.compute.internal";
    let address = json!({"Primary": true, "PrivateDnsName": name, "PrivateIpAddress": "10.0.0.1"});
    instance["NetworkInterfaces"] = json!([{
        "Attachment": {
            "AttachTime": "2026-01-01T00:00:00+00:00", "AttachmentId": "eni-attach-0123456789abcdef0",
            "DeleteOnTermination": true, "DeviceIndex": 0, "NetworkCardIndex": 0, "Status": "attached",
        },
        "Groups": vec![&group; 6], "Ipv6Addresses": [], "MacAddress": "0a:1b:2c:3d:4e:5f",
        "OwnerId": "111122223333", "PrivateIpAddresses": vec![&address; 6],
        "SubnetId": "subnet-0123456789abcdef0", "VpcId": "vpc-0123456789abcdef0",
    }]);
    let device = json!({"DeviceName": "/dev/xvda", "Ebs": {
        "AttachTime": "2026-01-01T00:00:00+00:00", "DeleteOnTermination": true, "Status": "attached",
        "VolumeId": "vol-0123456789abcdef0",
    }});
    instance["BlockDeviceMappings"] = vec![device; 6].into();
    instance["SecurityGroups"] = vec![group; 6].into();
    instance
}

#[test]
fn explain_needs_at_most_four_times_the_size_of_its_input() {
    let small: Vec<Value> = (0..10_000).map(|number| instance(number, "optional", json!([]))).collect();
    let large: Vec<Value> = (0..1_500).map(whole).collect();
    // The AWS CLI may print OwnerId after the instances.
    let reservation =
        |instances: &[Value]| json!({"Reservations": [{"Instances": instances, "OwnerId": "111122223333"}]});
    let rows = [
        ("small, one reservation", reservation(&small).to_string(), &[][..]),
        ("small, as a list", json!(small).to_string(), &["--json"]),
        ("large, as the AWS CLI prints them", format!("{:#}", reservation(&large)), &[]),
        ("large, as JSON", format!("{:#}", reservation(&large)), &["--json"]),
    ];
    let base = peak(reservation(&small[..1]).to_string().as_bytes(), &[]);
    for (row, input, more) in rows {
        let needed = peak(input.as_bytes(), more).saturating_sub(base);
        assert!(needed <= 4 * input.len(), "{row}: {needed} bytes for an input of {}", input.len());
    }
}
