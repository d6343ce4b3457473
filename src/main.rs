//! The Lambda function.

use std::cell::RefCell;
use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;
use std::time::Duration;

use imds_core::mode::Mode;
use imds_core::outcome::InstanceOutcome;
use imds_enforcer::arguments::Start;
use imds_enforcer::config::{Config, ConfigErrors};
use imds_enforcer::environment::Environment;
use imds_enforcer::handler::{Answer, HandlerError, answer};
use imds_enforcer::outcome_events::{self, NotPut};
use imds_engine::aws::clients::{MemberRole, RegionClients};
use imds_engine::aws::event_bus::EventBus;
use imds_engine::aws::http::{self, Trust};
use imds_engine::aws::root_certificates::{KNOWN_PLACES, NoRootCertificates, RootCertificates};
use imds_engine::aws::settings;
use imds_engine::deadline::Deadline;
use imds_engine::reconcile::Enforcer;
use imds_engine::report::log::Log;
use imds_engine::report::metrics::Metrics;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

/// What serves the invocations.
struct Function {
    enforcer: Enforcer,
    /// The event bus that gets outcome events.
    outcome_bus: Option<EventBus>,
    /// The lowest level that Lambda's log filter passes.
    log_level: String,
}

// One thread is enough: the function mostly waits for EC2.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    let (environment, errors) = environment();
    match Start::new(&arguments, environment.get("AWS_LAMBDA_RUNTIME_API").as_deref()) {
        Start::Serve => serve(&environment, errors).await,
        Start::Print(text) => {
            match io::stdout().write_all(text.as_bytes()) {
                // A reader that has closed the pipe, as head does, has read enough.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => fail(&format!("stdout: {error}")),
                _ => ExitCode::SUCCESS,
            }
        }
        Start::Unknown(argument) => refuse(&format!("unknown argument {argument:?}; see --help")),
        Start::NotInLambda => refuse(
            "it runs only in AWS Lambda, which sets AWS_LAMBDA_RUNTIME_API. Deploy it with sam deploy, or try imdsctl \
             demo or sam local invoke; see --help",
        ),
    }
}

/// Serves Lambda's invocations, unless there are `errors` in the environment.
async fn serve(environment: &Environment, mut errors: Vec<String>) -> ExitCode {
    let _ = log_of_start().started(imds_enforcer::VERSION);
    let variable = |name: &str| environment.get(name);
    let config = match Config::from_lookup(variable) {
        Ok(config) if errors.is_empty() => config,
        result => {
            errors.extend(result.err().into_iter().flat_map(|more| more.0));
            return fail(&ConfigErrors(errors).to_string());
        }
    };
    let (http_client, trust) = http::waiting_client();
    let variables = environment.clone();
    let (send_work, more_work) = oneshot::channel();
    // On another thread: this is most of the work before the first event. A second thread would take longer to start than
    // it saves.
    let preparing = spawn_blocking(move || prepare_calls(&variables, trust, more_work));
    let shared = settings::load(http_client).await;
    let member_role = member_role(&config, variable("AWS_LAMBDA_FUNCTION_NAME"));
    let outcome_bus = config.outcome_bus.clone().map(|name| EventBus::new(shared.clone(), name));
    let clients = RegionClients::new(shared, config.modify_limit, member_role);
    // The thread ends before only if there are no root certificates, or if it panics. Both end the process.
    let _ = send_work.send(clients.preparation());
    let enforcer = config.into_enforcer(clients);
    // Lambda sets this variable from the function's log settings. If it is not set, all levels pass.
    let log_level = variable("AWS_LAMBDA_LOG_LEVEL")
        .filter(|level| !level.is_empty())
        .unwrap_or_else(|| "INFO".to_owned());
    let function = Function { enforcer, outcome_bus, log_level };
    tokio::select! {
        error = failure_of(preparing) => fail(&error),
        served = lambda_runtime::run(service_fn(|event| handle(&function, event))) => match served {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error.to_string()),
        },
    }
}

/// Finds the root certificates, and lets the HTTP client trust them. Then does the work that it receives.
fn prepare_calls(
    environment: &Environment,
    trust: Trust,
    more_work: oneshot::Receiver<impl FnOnce()>,
) -> Result<(), NoRootCertificates> {
    let root_certificates = RootCertificates::find(|name| environment.get(name), KNOWN_PLACES)?;
    for warning in root_certificates.warnings() {
        let _ = log_of_start().warning(&warning);
    }
    trust.set_roots(root_certificates);
    if let Ok(work) = more_work.blocking_recv() {
        work();
    }
    Ok(())
}

/// Returns only if the preparation failed, and why.
async fn failure_of(preparing: JoinHandle<Result<(), NoRootCertificates>>) -> String {
    match preparing.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error.to_string(),
        Err(defect) => format!("the function cannot prepare its calls to AWS: {defect}"),
    }
}

/// The log before the first invocation.
fn log_of_start() -> Log<'static, StdoutLock<'static>> {
    Log { out: io::stdout().lock(), request_id: "", now: now() }
}

async fn handle(function: &Function, event: LambdaEvent<Value>) -> Result<Value, HandlerError> {
    let start = now();
    let enforcer = &function.enforcer;
    enforcer.clients().invoked_as(&event.context.invoked_function_arn);
    let LambdaEvent { payload, context } = event;
    let metrics = RefCell::new(Metrics::default());
    // A failed log write cannot be reported, and must not fail the invocation.
    let log = || Log { out: io::stdout().lock(), request_id: &context.request_id, now: now() };
    let on_report = |instance: &InstanceOutcome| {
        metrics.borrow_mut().add(instance, start);
        let _ = log().outcome(instance);
    };
    let deadline = Deadline::new(start, allowed(context.deadline, start));
    let (answer, not_put) = work(function, payload, deadline, on_report).await;
    let mut metrics = metrics.into_inner();
    for (account_region, counts) in enforcer.clients().take_counts().await {
        metrics.add_calls(&account_region, counts);
    }
    metrics.add_unreadable(answer.unreadable);
    metrics.add_events_not_put(not_put.as_ref().map_or(0, |not_put| not_put.events));
    for account_region in answer.swept {
        metrics.add_sweep(account_region, enforcer.policy().gates_ending(start));
    }
    answer.stopped.into_iter().for_each(|account_region| metrics.add_stopped(account_region));
    for warning in answer.warnings.iter().chain(not_put.as_ref().map(|not_put| &not_put.why)) {
        let _ = log().warning(warning);
    }
    let _ = log().metrics(enforcer.mode(), &metrics, &function.log_level);
    let _ = log().done(&answer.report);
    if let Err(error) = &answer.response {
        let _ = log().error(&error.to_string());
    }
    answer.response
}

/// Answers the payload. If there is an event bus, it also puts outcome events, and returns which of them were not put.
async fn work(
    function: &Function,
    payload: Value,
    deadline: Deadline,
    on_report: impl Fn(&InstanceOutcome),
) -> (Answer, Option<NotPut>) {
    let enforcer = &function.enforcer;
    let Some(bus) = &function.outcome_bus else {
        return (answer(enforcer, payload, deadline, &on_report).await, None);
    };
    let work = async |put: &dyn Fn(&InstanceOutcome)| {
        let on_report = |instance: &InstanceOutcome| {
            on_report(instance);
            put(instance);
        };
        answer(enforcer, payload, deadline, &on_report).await
    };
    outcome_events::during(bus, enforcer.clients().partition(), &deadline, work).await
}

#[expect(clippy::disallowed_methods, reason = "the environment is read here only")]
fn environment() -> (Environment, Vec<String>) {
    Environment::new(std::env::vars_os())
}

#[expect(clippy::disallowed_methods, reason = "the clock is read here only")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn member_role(config: &Config, function: Option<String>) -> Option<MemberRole> {
    let name = config.member_role.clone()?;
    Some(MemberRole { name, session: session(config.mode, function) })
}

/// Returns the session name in other accounts: who acts, and why.
fn session(mode: Mode, function: Option<String>) -> String {
    let function = function.unwrap_or_default();
    let purpose = match mode {
        Mode::Enforce => "enforces-metadata-options",
        Mode::DryRun => "dry-runs-metadata-options",
    };
    // STS limits the name to 64 characters and allows every character of a function name.
    format!("{purpose}.{function}").chars().take(64).collect()
}

/// Returns the time from `now` until Lambda's deadline, which is in milliseconds since the Unix epoch.
fn allowed(deadline: u64, now: OffsetDateTime) -> Duration {
    let now = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Duration::from_millis(deadline.saturating_sub(now))
}

fn fail(message: &str) -> ExitCode {
    eprintln!("imds-enforcer: {message}");
    ExitCode::FAILURE
}

/// Reports incorrect usage.
fn refuse(message: &str) -> ExitCode {
    eprintln!("imds-enforcer: {message}");
    ExitCode::from(2)
}
