//! The Lambda function.

use std::io;
use std::process::ExitCode;

use aws_config::BehaviorVersion;
use imds_enforcer::accounts::Accounts;
use imds_enforcer::config::Config;
use imds_enforcer::enforce::Enforcer;
use imds_enforcer::handler::{HandlerError, answer};
use imds_enforcer::telemetry::Log;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use time::OffsetDateTime;

// One thread: the function waits for EC2, it does not compute.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the one place where the environment is read")]
    let config = Config::from_lookup(|name| std::env::var(name).ok());
    let config = match config {
        Ok(config) => config,
        Err(errors) => return fail(&errors.to_string()),
    };
    let shared = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let enforcer = Enforcer::new(config, Accounts::new(shared));
    match lambda_runtime::run(service_fn(|event| handle(&enforcer, event))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

async fn handle(enforcer: &Enforcer, event: LambdaEvent<Value>) -> Result<Value, HandlerError> {
    #[expect(clippy::disallowed_methods, reason = "the clock is read once an invocation, here")]
    let now = OffsetDateTime::now_utc();
    let answer = answer(enforcer, event.payload, now).await;
    let mut log = Log { out: io::stdout().lock(), request_id: &event.context.request_id, now };
    // What cannot be written to the log cannot be complained about either; the work is done all the same.
    let _ = log.report(&answer.report);
    if let Err(error) = &answer.response {
        let _ = log.error(&error.to_string());
    }
    answer.response
}

fn fail(message: &str) -> ExitCode {
    eprintln!("imds-enforcer: {message}");
    ExitCode::FAILURE
}
