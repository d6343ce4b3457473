//! The question before a change.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, Result, bail};

/// The only answer that is accepted.
const YES: &str = "yes";

/// Asks on the terminal, and returns whether the answer is `yes`. With `yes`, nothing is asked and the answer is `yes`.
///
/// # Errors
/// Nobody can answer: standard input or standard error is not a terminal. Or the terminal cannot be read.
pub fn confirm(question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        bail!("there is no terminal on which to ask `{question}`; use --yes to answer yes");
    }
    let mut err = anstream::stderr();
    write!(err, "{question} Only \"{YES}\" is accepted: ").context("the terminal cannot be written")?;
    err.flush().context("the terminal cannot be written")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("the terminal cannot be read")?;
    Ok(answer.trim_end_matches(['\r', '\n']) == YES)
}
