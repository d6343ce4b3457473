//! `imdsctl completions`.

use std::process::{Command, Stdio};

use crate::{imdsctl, run, stderr, stdout};

#[test]
fn bash_completes_commands_and_flags() {
    let script = stdout(&imdsctl(&["completions", "bash"], ""));
    let completed = |words: &[&str]| {
        let (line, last) = (words.join(" "), words.len() - 1);
        let ask = format!(
            "{script}\nCOMP_WORDS=({line}); COMP_CWORD={last}; _imdsctl imdsctl '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            words[last],
            words[last - 1]
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-s"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run(&mut bash, ask.as_bytes());
        assert_eq!(stderr(&output), "", "{words:?}");
        stdout(&output).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["imdsctl", "defa"]), ["defaults"]);
    assert_eq!(completed(&["imdsctl", "defaults", "set", "--http-p"]), ["--http-put-response-hop-limit"]);
    assert_eq!(completed(&["imdsctl", "defaults", "set", "--http-tokens", "req"]), ["required"]);
}

#[test]
fn every_shell_has_a_script_and_others_are_an_error() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = imdsctl(&["completions", shell], "");
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("imdsctl") && stdout(&output).contains("defaults"), "{shell}");
    }
    let output = imdsctl(&["completions", "cmd"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("powershell"), "{}", stderr(&output));
}
