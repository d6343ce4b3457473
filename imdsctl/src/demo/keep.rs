//! `imdsctl demo --keep`: a fleet in an embedded EC2 that stays, on which the other commands can be tried.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use ec2_sim::{AccountRegion, Ec2Sim, Image, LaunchTemplate, LaunchTemplateVersion, Settings};
use time::OffsetDateTime;

use super::fleet::{ACCOUNT, FLEET, Member, PLAIN, Pairs, REGION};
use crate::clock;
use crate::exit::Exit;

/// Another Region that has instances.
const OTHER_REGION: &str = "eu-west-1";

const TEMPLATE: &str = "lt-0a1b2c3d4e5f60718";

/// The image of all instances. It does not have `ImdsSupport=v2.0`.
const IMAGE: &str = "ami-12345678";

const IN_WEB: Pairs = &[
    ("aws:autoscaling:groupName", "web"),
    ("aws:ec2launchtemplate:id", TEMPLATE),
    ("aws:ec2launchtemplate:version", "3"),
];

/// Instances that came from something that can be fixed, besides those of the demo.
const WITH_SOURCES: &[Member] = &[
    Member { count: 6, tags: IN_WEB, calls_a_day: Some(0.0), ..PLAIN },
    Member { count: 2, tags: IN_WEB, calls_a_day: Some(41.0), ..PLAIN },
    Member { count: 3, tags: &[("aws:cloudformation:stack-name", "shop")], calls_a_day: Some(0.0), ..PLAIN },
    Member { count: 4, tags: &[("karpenter.sh/nodepool", "default")], ..PLAIN },
    Member { count: 2, tags: &[("Name", "build agent")], calls_a_day: Some(0.0), ..PLAIN },
];

/// Launches the fleet, prints how to reach it, and waits for Ctrl-C.
pub async fn run(listen: SocketAddr, out: &mut impl Write) -> Result<Exit> {
    let settings = Settings { listen, ..Settings::default() };
    let cannot = || format!("ec2-sim cannot listen on {listen}: choose another address with --listen");
    let sim = Ec2Sim::start(settings).await.with_context(cannot)?;
    sim.set_regions(ACCOUNT, &[REGION, OTHER_REGION]);
    let now = clock::now();
    let instances = launch(&sim, now);
    writeln!(
        out,
        "An embedded EC2 with {instances} instances in {REGION} and {OTHER_REGION} runs until you press Ctrl-C.\n\
         In another terminal:\n\n    \
         export AWS_ENDPOINT_URL={} AWS_REGION={REGION}\n    \
         export AWS_ACCESS_KEY_ID={ACCOUNT} AWS_SECRET_ACCESS_KEY=demo\n    \
         imdsctl audit --all-regions\n    \
         imdsctl plan --all-regions --output plan.json\n    \
         imdsctl apply plan.json\n    \
         imdsctl restore plan.json.journal.jsonl --allow-loosening --anyway",
        sim.endpoint()
    )?;
    out.flush()?;
    tokio::signal::ctrl_c().await.context("Ctrl-C cannot be awaited")?;
    Ok(Exit::Compliant)
}

/// Launches the instances and returns how many there are.
fn launch(sim: &Ec2Sim, now: OffsetDateTime) -> usize {
    let home = sim.account_region(ACCOUNT, REGION);
    let other = sim.account_region(ACCOUNT, OTHER_REGION);
    prepare(&home);
    let launched = |account_region: &AccountRegion, members: &[Member]| -> usize {
        members.iter().map(|member| member.launch(account_region, now).len()).sum()
    };
    launched(&home, FLEET) + launched(&home, WITH_SOURCES) + launched(&other, FLEET)
}

/// Sets up what the instances came from.
fn prepare(account_region: &AccountRegion) {
    let version =
        |number| LaunchTemplateVersion { number, image: Some(IMAGE.to_owned()), ..Default::default() };
    account_region.set_launch_template(LaunchTemplate {
        id: TEMPLATE.to_owned(),
        name: "web".to_owned(),
        default_version: 3,
        versions: vec![version(1), version(2), version(3)],
    });
    account_region.set_image(Image { id: IMAGE.to_owned(), owner: ACCOUNT.to_owned(), ..Image::default() });
}
