//! `ec2-sim`: the embedded EC2 as a program.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ec2_sim::{Buckets, Ec2Sim, Settings};
use tokio::signal::unix::{SignalKind, signal};

/// An embedded EC2 endpoint: instances, their metadata options, and the events of both.
///
/// It works with any EC2 client:
///
///     ec2-sim --listen 127.0.0.1:4566 &
///     export AWS_ENDPOINT_URL_EC2=http://127.0.0.1:4566 AWS_DEFAULT_REGION=us-east-1
///     export AWS_ENDPOINT_URL_STS=http://127.0.0.1:4566
///     export AWS_ACCESS_KEY_ID=111122223333 AWS_SECRET_ACCESS_KEY=anything
///     aws ec2 run-instances --image-id ami-12345678 --count 2
///
/// It also answers CloudWatch's GetMetricData and PutMetricData
/// (AWS_ENDPOINT_URL_CLOUDWATCH), AssumeRole and GetCallerIdentity of STS, and the
/// lists of accounts of AWS Organizations (AWS_ENDPOINT_URL_ORGANIZATIONS).
///
/// Controls under /_sim/, with bodies in JSON, set up instances that ran before,
/// tags of AWS, metrics, Regions, an organization, launch templates and images,
/// inject faults, and return calls and events. README.md describes them. Two
/// instances that first ran 90 days ago, and their calls without a token of today
/// and yesterday:
///
///     curl http://127.0.0.1:4566/_sim/instances \
///         -d '{"region": "us-east-1", "count": 2, "firstRan": 7776000}'
///     curl http://127.0.0.1:4566/_sim/metrics -d '{"region": "us-east-1", "instances": ["i-…"],
///         "metric": "MetadataNoToken", "sums": {"0": 12, "1": 40}}'
///
/// If the access key is an account id, calls act in that account. Calls with a
/// session of AssumeRole act in the account of the role. Requests are not
/// authenticated.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The address to listen on. Port 0 selects a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Post every event to this URL, such as the invoke URL of a Lambda runtime emulator.
    #[arg(long, value_name = "URL")]
    deliver_to: Option<String>,
    /// Put every event on the default bus of an EventBridge endpoint, such as ministack, LocalStack or moto.
    ///
    /// The URL is http://HOST:PORT. Each event goes to the bus of its own account and Region. The endpoint must accept
    /// sources that begin with `aws.`, which EventBridge itself refuses.
    #[arg(long, value_name = "URL")]
    deliver_to_bus: Option<String>,
    /// Milliseconds from a change of options to `applied`.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    apply_delay: u64,
    /// Milliseconds from `pending` to `running`.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    start_delay: u64,
    /// Milliseconds from `stopping` to `stopped`, and from `shutting-down` to `terminated`.
    #[arg(long, value_name = "MS", default_value_t = 200)]
    state_delay: u64,
    /// The duration of role sessions in milliseconds. Overrides `DurationSeconds`.
    #[arg(long, value_name = "MS")]
    session_duration: Option<u64>,
    /// Throttle as EC2 and CloudWatch do.
    #[arg(long)]
    buckets: bool,
    /// The number of data points on a page of GetMetricData.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().datapoints_per_page)]
    datapoints_per_page: usize,
    /// Return every field that EC2 returns for an ordinary instance in a VPC, some 6.6 KB per instance.
    #[arg(long)]
    realistic: bool,
    /// The seed of random ids and faults.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ec2-sim: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    if !arguments.listen.ip().is_loopback() {
        eprintln!(
            "ec2-sim: warning: {} is not a loopback address, and requests are not authenticated",
            arguments.listen
        );
    }
    let sim = Ec2Sim::start(Settings {
        listen: arguments.listen,
        apply_delay: Duration::from_millis(arguments.apply_delay),
        start_delay: Duration::from_millis(arguments.start_delay),
        state_delay: Duration::from_millis(arguments.state_delay),
        buckets: arguments.buckets.then(Buckets::default),
        deliver_to: arguments.deliver_to,
        deliver_to_bus: arguments.deliver_to_bus,
        session_duration: arguments.session_duration.map(Duration::from_millis),
        datapoints_per_page: arguments.datapoints_per_page,
        realistic: arguments.realistic,
        seed: arguments.seed,
        ..Settings::default()
    })
    .await?;
    // The signal handlers must exist before the line below reports that the program is ready.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut output = std::io::stdout();
    writeln!(output, "ec2-sim listens on {}", sim.endpoint())?;
    output.flush()?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
