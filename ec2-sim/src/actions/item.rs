//! An instance in the responses of DescribeInstances and RunInstances.
//!
//! By default, it has the fields that the simulator uses. With [`Settings::realistic`](crate::Settings::realistic), it
//! has every field that EC2 returns for an ordinary instance in a VPC: the XML of the API reference, "Instance".

use crate::clock;
use crate::instance::{Instance, Key, State};
use crate::xml::Xml;

type Fields = Vec<(&'static str, Xml)>;

/// The security groups of every instance.
const GROUPS: [(&str, &str); 2] =
    [("sg-0c1d2e3f4a5b6c7d8", "platform-baseline"), ("sg-0a9b8c7d6e5f4a3b2", "application-servers")];

/// The volumes of an instance, by device name. The first one is the root device.
const DEVICES: [&str; 2] = ["/dev/xvda", "/dev/sdf"];

const SUBNET: &str = "subnet-0f1e2d3c4b5a69788";
const VPC: &str = "vpc-0a1b2c3d4e5f60718";

/// Writes instances of one account and Region.
#[derive(Debug, Clone, Copy)]
pub struct Items<'k> {
    pub key: &'k Key,
    pub is_realistic: bool,
}

impl Items<'_> {
    /// The element of an instance.
    pub fn item(self, instance: &Instance) -> Xml {
        let mut fields = vec![
            ("instanceId", Xml::text(&instance.id)),
            ("imageId", Xml::text(&instance.image)),
            ("instanceState", instance.state.xml()),
            ("amiLaunchIndex", Xml::text(instance.index)),
            ("instanceType", Xml::text(&instance.instance_type)),
            ("launchTime", Xml::text(clock::milliseconds(instance.launch_time))),
            ("placement", self.placement(instance)),
            ("monitoring", state("disabled")),
            ("architecture", Xml::text("x86_64")),
            ("clientToken", Xml::text(&instance.client_token)),
        ];
        if self.is_realistic {
            fields.extend(network(instance, self.key));
            fields.extend(hardware(instance));
            fields.extend(options(self.key));
        }
        // EC2 omits the element if there are no tags.
        fields.extend((!instance.tags.is_empty()).then(|| ("tagSet", tags(instance))));
        fields.push(("networkInterfaceSet", Xml::Items(self.interfaces(instance))));
        fields.push(("metadataOptions", instance.options_xml()));
        fields.push(("operator", operator(instance)));
        Xml::Node(fields)
    }

    fn placement(self, instance: &Instance) -> Xml {
        let mut placement = vec![("availabilityZone", Xml::text(&instance.zone))];
        if self.is_realistic {
            placement.extend(texts([
                ("availabilityZoneId", "use1-az4"),
                ("groupName", ""),
                ("tenancy", "default"),
            ]));
        }
        Xml::Node(placement)
    }

    /// The primary network interface, and in a realistic response a secondary one. A terminated instance has none.
    fn interfaces(self, instance: &Instance) -> Vec<Xml> {
        let count = match (instance.state, self.is_realistic) {
            (State::Terminated, _) => 0,
            (_, false) => 1,
            (_, true) => 2,
        };
        (0..count).map(|index| self.interface(instance, index)).collect()
    }

    fn interface(self, instance: &Instance, index: u8) -> Xml {
        let mut fields =
            texts([("networkInterfaceId", &*resource("eni", instance, index)), ("status", "in-use")]);
        fields.push(("attachment", attachment(instance, index)));
        if self.is_realistic {
            let address = Address::of(instance, index, &self.key.1);
            fields.extend(texts([
                ("subnetId", SUBNET),
                ("vpcId", VPC),
                ("description", ""),
                ("ownerId", &self.key.0),
                ("macAddress", &address.mac),
                ("privateIpAddress", &address.ip),
                ("privateDnsName", &address.name),
                ("sourceDestCheck", "true"),
                ("interfaceType", "interface"),
            ]));
            fields.push(("groupSet", groups()));
            let mut private = texts([("privateIpAddress", &*address.ip), ("privateDnsName", &address.name)]);
            private.push(("primary", Xml::text(true)));
            fields.push(("privateIpAddressesSet", Xml::Items(vec![Xml::Node(private)])));
            fields.push(("ipv6AddressesSet", Xml::Items(Vec::new())));
            fields.push(("operator", Xml::Node(texts([("managed", "false")]))));
        }
        Xml::Node(fields)
    }
}

/// The attachment of the network interface with this device index. The time is that of the first launch, which stops
/// and starts do not change.
fn attachment(instance: &Instance, index: u8) -> Xml {
    Xml::Node(texts([
        ("attachmentId", &*resource("eni-attach", instance, index)),
        ("deviceIndex", &index.to_string()),
        ("status", "attached"),
        ("attachTime", &clock::milliseconds(instance.first_ran)),
        ("deleteOnTermination", "true"),
        ("networkCardIndex", "0"),
    ]))
}

fn tags(instance: &Instance) -> Xml {
    let tag = |(key, value): (&String, &String)| Xml::Node(texts([("key", &**key), ("value", value)]));
    Xml::Items(instance.tags.iter().map(tag).collect())
}

fn operator(instance: &Instance) -> Xml {
    let mut operator = vec![("managed", Xml::text(instance.operator.is_some()))];
    operator.extend(instance.operator.as_ref().map(|principal| ("principal", Xml::text(principal))));
    Xml::Node(operator)
}

fn network(instance: &Instance, key: &Key) -> Fields {
    let address = Address::of(instance, 0, &key.1);
    let mut fields = texts([
        ("privateDnsName", &*address.name),
        ("privateIpAddress", &address.ip),
        ("dnsName", ""),
        ("reason", ""),
        ("keyName", "platform-operations"),
        ("subnetId", SUBNET),
        ("vpcId", VPC),
        ("sourceDestCheck", "true"),
    ]);
    fields.push(("groupSet", groups()));
    fields.push(("productCodes", Xml::Items(Vec::new())));
    let names = texts([
        ("hostnameType", "ip-name"),
        ("enableResourceNameDnsARecord", "false"),
        ("enableResourceNameDnsAAAARecord", "false"),
    ]);
    fields.push(("privateDnsNameOptions", Xml::Node(names)));
    fields.push(("networkPerformanceOptions", Xml::Node(texts([("bandwidthWeighting", "default")]))));
    fields
}

fn hardware(instance: &Instance) -> Fields {
    let mut fields = texts([
        ("rootDeviceType", "ebs"),
        ("rootDeviceName", DEVICES[0]),
        ("virtualizationType", "hvm"),
        ("hypervisor", "xen"),
        ("ebsOptimized", "true"),
        ("enaSupport", "true"),
        ("bootMode", "uefi-preferred"),
        ("currentInstanceBootMode", "uefi"),
        ("platformDetails", "Linux/UNIX"),
        ("usageOperation", "RunInstances"),
        ("usageOperationUpdateTime", &clock::milliseconds(instance.first_ran)),
    ]);
    let volumes = (0..).zip(DEVICES).map(|(index, device)| volume(instance, index, device));
    fields.push(("blockDeviceMapping", Xml::Items(volumes.collect())));
    fields.push(("cpuOptions", Xml::Node(texts([("coreCount", "4"), ("threadsPerCore", "2")]))));
    fields
}

fn volume(instance: &Instance, index: u8, device: &str) -> Xml {
    let mut ebs = texts([
        ("volumeId", &*resource("vol", instance, index)),
        ("status", "attached"),
        ("attachTime", &clock::milliseconds(instance.first_ran)),
        ("deleteOnTermination", "true"),
    ]);
    ebs.push(("operator", Xml::Node(texts([("managed", "false")]))));
    Xml::Node(vec![("deviceName", Xml::text(device)), ("ebs", Xml::Node(ebs))])
}

fn options(key: &Key) -> Fields {
    let profile = texts([
        ("arn", &*format!("arn:aws:iam::{}:instance-profile/platform/application-servers", key.0)),
        ("id", "AIPAEXAMPLEEXAMPLEEXA"),
    ]);
    let maintenance = texts([("autoRecovery", "default"), ("rebootMigration", "default")]);
    let capacity = texts([("capacityReservationPreference", "open")]);
    vec![
        ("iamInstanceProfile", Xml::Node(profile)),
        ("capacityReservationSpecification", Xml::Node(capacity)),
        ("hibernationOptions", Xml::Node(texts([("configured", "false")]))),
        ("enclaveOptions", Xml::Node(texts([("enabled", "false")]))),
        ("maintenanceOptions", Xml::Node(maintenance)),
    ]
}

fn groups() -> Xml {
    Xml::Items(GROUPS.map(|(id, name)| Xml::Node(texts([("groupId", id), ("groupName", name)]))).to_vec())
}

fn state(name: &str) -> Xml {
    Xml::Node(texts([("state", name)]))
}

fn texts<const N: usize>(fields: [(&'static str, &str); N]) -> Fields {
    fields.map(|(name, text)| (name, Xml::text(text))).to_vec()
}

/// The id of a resource of an instance. It contains the sequence number of the instance's id, so it is unique.
fn resource(kind: &str, instance: &Instance, index: u8) -> String {
    format!("{kind}-{index:x}{}", &instance.id["i-0".len()..])
}

/// The address of a network interface.
struct Address {
    ip: String,
    name: String,
    mac: String,
}

impl Address {
    /// In 10.0.0.0/9 for the primary interface and in 10.128.0.0/9 for the secondary one, from the sequence number of
    /// the instance's id.
    fn of(instance: &Instance, index: u8, region: &str) -> Self {
        let digits = &instance.id[instance.id.len() - 6..];
        let [_, high, middle, low] = u32::from_str_radix(digits, 16).unwrap_or_default().to_be_bytes();
        let high = high & 0x7f | index << 7;
        let domain = match region {
            "us-east-1" => "ec2.internal".to_owned(),
            region => format!("{region}.compute.internal"),
        };
        Self {
            ip: format!("10.{high}.{middle}.{low}"),
            name: format!("ip-10-{high}-{middle}-{low}.{domain}"),
            mac: format!("0a:ff:{index:02x}:{high:02x}:{middle:02x}:{low:02x}"),
        }
    }
}
