//! Sets `IMDS_ENFORCER_VERSION`: the version, and the commit of the sources.

use std::process::Command;

/// What the function and imdsctl are built from.
const SOURCES: [&str; 9] = [
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "core",
    "engine",
    "imdsctl",
    "ec2-sim",
    "policy/policy.json",
];

fn main() {
    let version = env!("CARGO_PKG_VERSION");
    SOURCES.iter().for_each(|source| println!("cargo:rerun-if-changed={source}"));
    // Without git, or if these files are not in a repository, there is no commit to name.
    let commit = git(&["ls-files", "Cargo.toml"]).and_then(|_| git(&["rev-parse", "--short=12", "HEAD"]));
    let changes = || git(&[&["--no-optional-locks", "status", "--porcelain", "--"][..], &SOURCES].concat());
    let version = match commit {
        Some(commit) if changes().is_some() => format!("{version} ({commit}, modified)"),
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    // It has a line for each commit that is checked out.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={log}");
    }
    println!("cargo:rustc-env=IMDS_ENFORCER_VERSION={version}");
}

/// What git prints, unless it fails or prints nothing.
fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
