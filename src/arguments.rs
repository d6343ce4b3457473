//! Command-line arguments. Lambda starts the function without any.

/// The output of `--version`.
const VERSION: &str = concat!("imds-enforcer ", env!("IMDS_ENFORCER_VERSION"), "\n");

/// The output of `--help`, within 80 columns.
const HELP: &str = concat!(
    "imds-enforcer ",
    env!("IMDS_ENFORCER_VERSION"),
    r#"
Brings EC2 instances to the instance metadata options that a policy requires.

It runs in AWS Lambda, which starts it and sends it events about instances. To
deploy it, run "sam build" and "sam deploy --guided". To try it without an AWS
account:

  imdsctl demo                 the same code on a simulated EC2
  sam local invoke Enforcer    the function in a container (see docs/local.md)

Usage: imds-enforcer [--help | --version]

Environment variables (an empty variable counts as unset):

  IMDS_MODE             enforce, or dry-run, which changes nothing
                        [default: enforce]
  IMDS_POLICY_FILE      the policy file
  IMDS_POLICY           the policy as JSON; do not set both variables
                        [default: {"baseline": {"HttpTokens": "required"}}]
  IMDS_MEMBER_ROLE      the role to assume in other accounts: its name, or
                        /PATH/NAME [default: none, its own credentials]
  IMDS_VERIFY_SECONDS   how long to wait for EC2 to apply a change, 0 to 600
                        [default: 10]
  IMDS_MODIFY_RATE      the maximum number of changes a second in an account
                        and Region, after a burst, 0.01 to 100000 [default: 4]
  IMDS_MODIFY_BURST     the maximum number of changes at once, before the rate
                        applies, 1 to 1000 [default: 80]
  IMDS_OUTCOME_BUS      the event bus that gets an event for each change and
                        each new problem: its name or ARN [default: none]
  SSL_CERT_FILE         a file of root certificates in PEM format, instead of
                        the system's [default: none]
  SSL_CERT_DIR          folders of root certificates, separated by colons
                        [default: none]
  AWS_ENDPOINT_URL_EC2  the endpoint of EC2 [default: the Region's own]

The AWS SDK's variables for credentials, Region and endpoints apply as well.
Those for retries and timeouts have no effect, as the function sets these
itself. The function uses no HTTP proxy (HTTPS_PROXY). The exit code is 0 after
--help and --version, 2 for incorrect usage, and 1 for any other error.
"#
);

/// The action that the command line requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// Serve Lambda's events.
    Serve,
    /// Print this and exit with 0.
    Print(&'static str),
    /// Reject this argument and exit with 2.
    Unknown(&'a str),
    /// Print that the program runs only in Lambda and exit with 2.
    NotInLambda,
}

impl<'a> Start<'a> {
    /// Parses the arguments, without the program's name. `runtime_api` is the variable `AWS_LAMBDA_RUNTIME_API`.
    ///
    /// In Lambda, other arguments are ignored because a container image passes the handler's name.
    pub fn new(arguments: &'a [String], runtime_api: Option<&str>) -> Self {
        let is_in_lambda = runtime_api.is_some_and(|address| !address.is_empty());
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["--help" | "-h"] => Self::Print(HELP),
            ["--version" | "-V"] => Self::Print(VERSION),
            _ if is_in_lambda => Self::Serve,
            [] => Self::NotInLambda,
            ["--help" | "-h" | "--version" | "-V", unknown, ..] | [unknown, ..] => Self::Unknown(unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, VARIABLES};
    use std::cell::RefCell;

    #[test]
    fn arguments_determine_the_action() {
        for (arguments, runtime_api, expected) in [
            ("", Some("127.0.0.1:9001"), Start::Serve),
            ("bootstrap", Some("127.0.0.1:9001"), Start::Serve),
            ("--version", Some("127.0.0.1:9001"), Start::Print(VERSION)),
            ("", None, Start::NotInLambda),
            ("", Some(""), Start::NotInLambda),
            ("--version", None, Start::Print(VERSION)),
            ("-V", None, Start::Print(VERSION)),
            ("--help", None, Start::Print(HELP)),
            ("-h", None, Start::Print(HELP)),
            ("serve", None, Start::Unknown("serve")),
            ("--help --verbose", None, Start::Unknown("--verbose")),
        ] {
            let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
            assert_eq!(Start::new(&arguments, runtime_api), expected, "{arguments:?}, {runtime_api:?}");
        }
    }

    #[test]
    fn the_help_fits_80_columns_and_has_every_variable() {
        for line in HELP.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let read = RefCell::new(Vec::new());
        let config = Config::from_lookup(|name| {
            read.borrow_mut().push(name.to_owned());
            None
        });
        assert!(config.is_ok());
        let read = read.into_inner();
        assert_eq!(read, VARIABLES, "no other variable of ours is accepted");
        for name in read.iter().map(String::as_str).chain(["SSL_CERT_FILE", "SSL_CERT_DIR"]) {
            assert!(HELP.contains(&format!("\n  {name} ")), "{name} is not in the help");
        }
    }
}
