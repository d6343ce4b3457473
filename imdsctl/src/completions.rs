//! `imdsctl completions`.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::exit::Exit;

/// Print a script that completes the commands and flags of imdsctl in a shell
///
/// Where to put it, so that new shells complete:
///
///   bash        imdsctl completions bash > \
///                 ~/.local/share/bash-completion/completions/imdsctl
///   zsh         imdsctl completions zsh > ~/.zfunc/_imdsctl
///               with these lines in ~/.zshrc:
///                 fpath+=~/.zfunc
///                 autoload -Uz compinit && compinit
///   fish        imdsctl completions fish > \
///                 ~/.config/fish/completions/imdsctl.fish
///   PowerShell  imdsctl completions powershell >> $PROFILE
///   elvish      imdsctl completions elvish >> ~/.config/elvish/rc.elv
///
/// The folder must exist. Print the script again after an update of imdsctl.
///
/// Exit codes: 0 it was printed, 2 error.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Runs `imdsctl completions`. `command` is the definition of all commands.
pub fn run(arguments: &Arguments, mut command: clap::Command, out: &mut impl Write) -> Result<Exit> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    // Writing to memory cannot fail; clap_complete panics where its output does.
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    out.write_all(&script)?;
    Ok(Exit::Compliant)
}
