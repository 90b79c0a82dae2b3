//! The command line that callers of OCI runtimes use: runc's, and what crun adds to it.

use crate::error::{Error, Kind, Result};
use crate::oci::commands::{COMMANDS, Command, Flag, GLOBAL};

/// Flags with their values, and what is not a flag.
#[derive(Debug, Default)]
pub struct Words {
    given: Vec<(&'static str, String)>,
    pub operands: Vec<String>,
}

impl Words {
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "false")
    }

    /// The last value that was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All values in their order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.given.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// What was asked for.
#[derive(Debug)]
pub struct Asked {
    pub global: Words,
    /// `None`: help, or the version.
    pub command: Option<(&'static Command, Words)>,
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::Request, message)
}

/// Reads a whole command line, without the program's name.
///
/// # Errors
/// `Kind::Request` with the global flags that were read before, so that the error can go where they say.
pub fn parse(words: &[String]) -> Result<Asked, Box<(Words, Error)>> {
    let mut global = Words::default();
    let rest = match read(words, GLOBAL, true, &mut global) {
        Ok(rest) => rest,
        Err(error) => return Err(Box::new((global, error))),
    };
    let Some((name, rest)) = rest.split_first() else { return Ok(Asked { global, command: None }) };
    match command(name, rest) {
        Ok(command) => Ok(Asked { global, command: Some(command) }),
        Err(error) => Err(Box::new((global, error))),
    }
}

fn command(name: &str, rest: &[String]) -> Result<(&'static Command, Words)> {
    let command = COMMANDS.iter().find(|command| command.name == name);
    let command = command.ok_or_else(|| wrong(format!("unknown command {name:?}: stave-runtime --help lists them")))?;
    let mut words = Words::default();
    let left = read(rest, command.flags, command.program, &mut words)?;
    words.operands.extend(left.iter().cloned());
    let (count, (least, most)) = (words.operands.len(), command.operands);
    if !words.has("help") && !(least..=most).contains(&count) {
        return Err(wrong(format!("{name:?} takes {}, and {count} were given", plural(least, most))));
    }
    Ok((command, words))
}

fn plural(least: usize, most: usize) -> String {
    match (least, most) {
        (0, 0) => "no arguments".to_owned(),
        (1, 1) => "exactly 1 argument".to_owned(),
        (least, usize::MAX) => format!("at least {least} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    }
}

/// Reads flags, of one dash or two, with their values after `=` or as the next word. What is no flag is an operand, or, if
/// `stop`, ends the flags and is given back with all that follows.
fn read<'w>(words: &'w [String], known: &'static [Flag], stop: bool, found: &mut Words) -> Result<&'w [String]> {
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if word == "--" {
            return Ok(&words[at..]);
        }
        if !word.starts_with('-') || word == "-" {
            if stop {
                return Ok(&words[at - 1..]);
            }
            found.operands.push(word.clone());
            continue;
        }
        let text = word.trim_start_matches('-');
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        let flag = known.iter().find(|flag| flag.name == name || flag.short == name && !name.is_empty());
        let flag = flag.ok_or_else(|| wrong(format!("flag provided but not defined: {word}")))?;
        let value = match (value, flag.value.is_empty()) {
            (Some(value), _) => value,
            (None, true) => "true".to_owned(),
            (None, false) => {
                at += 1;
                words.get(at - 1).cloned().ok_or_else(|| wrong(format!("flag needs an argument: {word}")))?
            }
        };
        found.given.push((flag.name, value));
    }
    Ok(&[])
}

/// What `--help` says.
pub fn help(command: Option<&Command>) -> String {
    let flags = |flags: &[Flag]| -> String { flags.iter().flat_map(|flag| [flag_line(flag), "\n".to_owned()]).collect() };
    if let Some(Command { name, usage, about, flags: own, .. }) = command {
        return format!("stave-runtime {name} [FLAGS] {usage}\n\n{about}.\n\nFlags:\n{}", flags(own));
    }
    let commands: String =
        COMMANDS.iter().flat_map(|command| [format!("  {:<12} {}", command.name, command.about), "\n".to_owned()]).collect();
    format!(
        "stave-runtime [FLAGS] COMMAND [FLAGS] [ARGUMENTS]\n\nAn OCI runtime: takes the place of runc and crun.\n\nFlags:\n{}\nCommands:\n{commands}",
        flags(GLOBAL)
    )
}

fn flag_line(flag: &Flag) -> String {
    let short = if flag.short.is_empty() { String::new() } else { format!(", -{}", flag.short) };
    let value = if flag.value.is_empty() { String::new() } else { format!(" {}", flag.value) };
    let names = format!("--{}{short}{value}", flag.name);
    format!("  {names:<36} {}", flag.about)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Asked, String> {
        let words: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
        parse(&words).map_err(|failed| failed.1.message)
    }

    #[test]
    fn what_callers_write_is_read() {
        let asked = of("--root /r --log-format=json --log /l create --bundle /b --pid-file /p --preserve-fds=2 box").unwrap();
        assert_eq!((asked.global.get("root"), asked.global.get("log-format")), (Some("/r"), Some("json")));
        let (command, words) = asked.command.unwrap();
        assert_eq!((command.name, words.get("bundle"), words.get("preserve-fds")), ("create", Some("/b"), Some("2")));
        assert_eq!(words.operands, ["box"]);
        // Flags may come after the id, but for exec, where they are the program's.
        let (_, words) = of("delete box --force").unwrap().command.unwrap();
        assert!(words.has("force"));
        let (_, words) = of("exec -t -e A=1 -e B=2 box ls -l").unwrap().command.unwrap();
        assert_eq!(words.all("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
        assert_eq!(words.operands, ["box", "ls", "-l"]);
        let (_, words) = of("kill --all=false box 9").unwrap().command.unwrap();
        assert!(!words.has("all"));
        assert!(of("--version").unwrap().global.has("version"));
    }

    #[test]
    fn what_is_none_is_refused() {
        for line in ["fly box", "create", "create --bundle", "create --fly box", "state one two", "--fly state box", "kill"] {
            of(line).unwrap_err();
        }
    }

    #[test]
    fn help_names_every_command_and_flag() {
        let text = help(None);
        for command in COMMANDS {
            assert!(text.contains(command.name));
            assert!(command.flags.iter().all(|flag| help(Some(command)).contains(flag.about)));
        }
    }
}
