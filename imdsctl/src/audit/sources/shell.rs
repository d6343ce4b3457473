//! Commands for a POSIX shell.

use std::borrow::Cow;

/// Returns the word as a POSIX shell reads it: unchanged, or in single quotes.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''")).into()
}

/// A command. Its words are quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellCommand(String);

impl ShellCommand {
    /// Creates a command of these words.
    pub fn new(words: &[&str]) -> Self {
        Self(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
    }

    /// Adds an option with its value.
    pub fn option(self, name: &str, value: &str) -> Self {
        // A value that begins with a hyphen would be read as another option, unless it is joined.
        let separator = if value.starts_with('-') { '=' } else { ' ' };
        Self(format!("{} {name}{separator}{}", self.0, quoted(value)))
    }

    /// Adds an option without a value.
    pub fn flag(self, name: &str) -> Self {
        Self(format!("{} {name}", self.0))
    }

    /// Adds an option whose value is in double quotes, so that the shell expands [`variable`]. The rest of `value` must
    /// be constants and checked IDs.
    pub fn expanded(self, name: &str, value: &str) -> Self {
        Self(format!("{} {name} \"{value}\"", self.0))
    }

    /// Returns the command as one line.
    pub fn line(self) -> String {
        self.0
    }

    /// Returns a line that assigns what the command prints to a variable, which is empty if the command fails.
    pub fn assigned_to(self, variable: &str) -> String {
        format!("{variable}=\"$({})\"", self.0)
    }
}

/// Returns what the shell replaces by the value of a variable. It does not run the command if the variable is empty.
pub fn variable(name: &str) -> String {
    format!("${{{name}:?}}")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What a shell passes to `aws` for this command, where `aws` prints each argument and a NUL.
    fn arguments(line: &str) -> Vec<String> {
        let script = format!("aws() {{ printf '%s\\0' \"$@\"; }}\n{line}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let printed = String::from_utf8(output.stdout.clone()).unwrap();
        let mut arguments: Vec<String> = printed.split('\0').map(str::to_owned).collect();
        assert_eq!(arguments.pop().as_deref(), Some(""), "{line}: {output:?}");
        arguments
    }

    #[test]
    fn a_shell_reads_every_word_back_as_it_was() {
        let words = [
            "",
            "plain-1.2_3/4:5=6@7%8+9,0",
            "two words",
            "it's",
            "''",
            "'; touch hacked; '",
            "$(touch hacked)",
            "`touch hacked`",
            "${HOME}$HOME",
            "a\\b\\",
            "\"double\"",
            "~",
            "*?[a]",
            "#comment",
            "a;b&c|d<e>f(g)h{i,j}k!l^m",
            "line\nbreak\ttab\r",
            "\u{1b}[31m\u{202e}é鍵",
        ];
        for word in words {
            let command = ShellCommand::new(&["aws", word]).option("--name", word);
            assert_eq!(arguments(&command.line()), [word, "--name", word], "{word:?}");
        }
    }

    #[test]
    fn a_value_that_looks_like_an_option_stays_a_value() {
        let command = ShellCommand::new(&["aws"]).option("--name", "--endpoint-url=http://a b");
        assert_eq!(arguments(&command.line()), ["--name=--endpoint-url=http://a b"]);
    }

    #[test]
    fn a_command_does_not_run_without_its_variable() {
        let command =
            || ShellCommand::new(&["aws"]).expanded("--to", &format!("id=1,v={}", variable("version")));
        let assigned = ShellCommand::new(&["echo", "7 8"]).assigned_to("version");
        assert_eq!(arguments(&format!("{assigned}\n{}", command().line())), ["--to", "id=1,v=7 8"]);
        let failed = ShellCommand::new(&["false"]).assigned_to("version");
        for before in ["", &failed] {
            let script = format!("{before}\necho {}", command().line());
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(!output.status.success() && output.stdout.is_empty(), "{before}: {output:?}");
        }
    }
}
