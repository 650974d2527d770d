//! Where commands print: the one place that writes to standard output and standard error.
//!
//! What is printed came from files, options, certificates and peers in good part. So nothing passes that a terminal obeys: text
//! is escaped here, line by line and cell by cell, and sentences show nothing of a key. A reader that goes away (`| head`) has
//! read enough; every other failure to write is an error, told once at the end.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;
use text::{Align, columns, escape};

use crate::finding::{Finding, Severity};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exit(u8);

impl Exit {
    /// It did what was asked, or found everything in order.
    pub const OK: Self = Self(0);
    /// It failed, or found something that is not in order.
    pub const FAILED: Self = Self(1);
    /// The command line cannot be understood.
    pub const USAGE: Self = Self(2);
    /// `policy explain`: the answer depends on what was not given.
    pub const UNKNOWN: Self = Self(2);
    /// `policy explain`: the request would be refused.
    pub const DENIED: Self = Self(3);
    /// The configuration, the policy or the certificates are wrong (sysexits(3)), or the answer cannot be written.
    pub const CONFIGURATION: Self = Self(78);

    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }

    /// The same as a number of the table above.
    #[must_use]
    pub fn of(code: u8) -> Self {
        Self(code)
    }
}

/// Why a command could not do what was asked: sentences, each with its advice, and the exit code.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong, with its causes, and what to do.
    pub faults: Vec<(String, Option<String>)>,
    /// How the process ends.
    pub exit: Exit,
}

impl Failure {
    /// One thing that is wrong.
    pub fn new(exit: Exit, text: impl fmt::Display) -> Self {
        Self {
            faults: vec![(text.to_string(), None)],
            exit,
        }
    }

    /// An error with its causes.
    pub fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self::new(exit, crate::error::report(error))
    }

    /// Adds the advice.
    #[must_use]
    pub fn hint(mut self, hint: Option<impl fmt::Display>) -> Self {
        if let (Some((_, last)), Some(hint)) = (self.faults.last_mut(), hint) {
            *last = Some(hint.to_string());
        }
        self
    }
}

/// What a command prints to.
pub struct Output<'w> {
    out: Box<dyn Write + 'w>,
    err: Box<dyn Write + 'w>,
    terminal: bool,
    colour: bool,
    /// Standard output carries a secret or a document: sentences go beside it.
    aside: bool,
    /// The first failure to write; nothing is written after it.
    fault: Option<io::Error>,
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("colour", &self.colour)
            .field("aside", &self.aside)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl Output<'static> {
    /// The process's own streams.
    #[must_use]
    pub fn process() -> Self {
        let mut output = Self::to(io::stdout(), io::stderr());
        output.terminal = io::stdout().is_terminal();
        output.colour = output.terminal && std::env::var_os("NO_COLOR").is_none();
        output
    }
}

impl<'w> Output<'w> {
    /// Streams of the caller's, without colour.
    pub fn to(out: impl Write + 'w, err: impl Write + 'w) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(err),
            terminal: false,
            colour: false,
            aside: false,
            fault: None,
        }
    }

    /// A sentence of ours, which may quote what somebody wrote: nothing of a key is shown.
    pub fn line(&mut self, sentence: impl AsRef<str>) {
        let text = escape::redacted(sentence.as_ref());
        self.print(&escape::line(&text));
    }

    /// The next useful command, set off from what was done.
    pub fn next(&mut self, command: impl AsRef<str>) {
        self.line(format!("next: {}", command.as_ref()));
    }

    /// What a certificate or a peer says, as it is except for what a terminal would obey.
    pub fn row(&mut self, row: impl AsRef<str>) {
        let text = escape::without_pem(row.as_ref());
        self.print(&escape::line(&text));
    }

    /// A table.
    pub fn table<R: AsRef<[C]>, C: AsRef<str>>(&mut self, rows: &[R], align: &[Align]) {
        for row in columns(rows, align) {
            self.row(row);
        }
    }

    /// Several lines of ours.
    pub fn lines(&mut self, text: &str) {
        for line in text.lines() {
            self.row(line);
        }
    }

    /// One JSON document.
    pub fn json(&mut self, value: &impl Serialize) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.print(&escape::lines(&text)),
            Err(error) => self.fault = self.fault.take().or(Some(error.into())),
        }
    }

    /// One result of looking at something, after the name of the step that found it.
    pub fn finding(&mut self, step: Option<&str>, finding: &Finding) {
        let indent = match step {
            Some(_) => 24,
            None => 9,
        };
        let mut head = step.map_or_else(String::new, |step| format!("{step:<14} "));
        head.push_str(&self.coloured(finding.severity));
        let text = escape::redacted(&finding.text);
        self.print(&format!("{head} {}", escape::line(&text)));
        for line in &finding.details {
            self.row(format!("{:indent$}{line}", ""));
        }
        if let Some(hint) = &finding.hint {
            for (nth, line) in hint.lines().enumerate() {
                let word = if nth == 0 { "hint:" } else { "     " };
                self.line(format!("{:indent$}{word} {line}", ""));
            }
        }
    }

    /// A sentence beside the answer, on standard error.
    pub fn note(&mut self, sentence: impl AsRef<str>) {
        let text = escape::redacted(sentence.as_ref());
        let line = format!("dockgate: {}\n", escape::line(&text));
        // Where nobody reads notes there is nobody to tell.
        let _ = self.err.write_all(line.as_bytes());
    }

    /// Secrets for a pipe, byte for byte; all sentences go to standard error from now on.
    pub fn secret(&mut self, bytes: &[u8]) {
        self.bytes(bytes);
        self.aside = true;
    }

    /// A text that was made from the command line's own description, as it is.
    pub fn generated(&mut self, text: &[u8]) {
        self.bytes(text);
    }

    /// All sentences go to standard error from now on: others read a document there, such as the audit.
    pub fn stand_aside(&mut self) {
        self.aside = true;
    }

    /// What clap has to say of the command line: help on standard output, mistakes beside it.
    pub fn usage(&mut self, error: &clap::Error) -> Exit {
        let text = error.render().to_string();
        let shown = escape::redacted(&text);
        let plain = escape::lines(&shown);
        if plain == text {
            if let Err(error) = error.print() {
                self.fault = Some(error);
            }
        } else {
            let _ = writeln!(self.err, "{}", plain.trim_end_matches('\n'));
        }
        match error.use_stderr() {
            true => Exit::USAGE,
            false => Exit::OK,
        }
    }

    /// Whether a person looks at standard output.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Control sequences and a page whose cells are escaped already, for a terminal alone.
    pub fn screen(&mut self, page: &str) {
        if self.terminal {
            self.bytes(page.as_bytes());
            self.flush();
        }
    }

    /// Hands on what is printed so far.
    pub fn flush(&mut self) {
        // A reader that is gone is no reason to end what goes on.
        let _ = self.out.flush();
    }

    /// Whether the reader is gone, or cannot be written to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.fault.is_some()
    }

    /// Tells why a command failed: one line a fault, its advice below it.
    pub fn fail(&mut self, failure: &Failure) {
        for (text, hint) in &failure.faults {
            self.note(text);
            let Some(hint) = hint else { continue };
            let hint = escape::redacted(hint);
            let _ = self
                .err
                .write_all(format!("hint: {}\n", escape::line(&hint)).as_bytes());
        }
    }

    /// Tells what is left to tell, and says how the process ends.
    pub fn finish(mut self, end: Result<Exit, Failure>) -> ExitCode {
        let exit = end.unwrap_or_else(|failure| {
            self.fail(&failure);
            failure.exit
        });
        let flushed = self.out.flush();
        let exit = match self.fault.take().or(flushed.err()) {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                // No command's verdict has this code.
                let failure = Failure::new(
                    Exit::CONFIGURATION,
                    format!("standard output cannot be written: {error}"),
                );
                self.fail(&failure);
                failure.exit
            }
            _ => exit,
        };
        ExitCode::from(exit.code())
    }

    fn print(&mut self, line: &str) {
        if self.aside {
            let _ = self.err.write_all(format!("{line}\n").as_bytes());
        } else {
            self.bytes(format!("{line}\n").as_bytes());
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.fault.is_none()
            && let Err(error) = self.out.write_all(bytes)
        {
            self.fault = Some(error);
        }
    }

    /// A severity's word, eight characters wide.
    fn coloured(&self, severity: Severity) -> String {
        let word = format!("{:<8}", severity.word());
        if !self.colour {
            return word;
        }
        let colour = match severity {
            Severity::Ok => 32,
            Severity::Warning => 33,
            Severity::Error => 31,
        };
        format!("\x1b[{colour}m{word}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(work: impl FnOnce(&mut Output<'_>)) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        work(&mut Output::to(&mut out, &mut err));
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(out), text(err))
    }

    #[test]
    fn nothing_that_is_printed_drives_a_terminal_or_forges_a_line() {
        let bad = "a\nb\r\t\x1b[2J\u{9b}\u{7f}\u{202e}\u{2028}\u{2066}";
        let finding = Finding::error(bad).hint(format!("run {}", bad.replace('\n', "")));
        let (out, err) = printed(|output| {
            output.line(bad);
            output.next(bad);
            output.row(bad);
            output.table(&[[bad, bad]], &[]);
            output.finding(None, &finding);
            output.finding(Some("tls"), &finding);
            output.json(&serde_json::json!({ bad: bad }));
            output.note(bad);
            output.fail(&Failure::new(Exit::FAILED, bad).hint(Some(bad)));
        });
        for text in [&out, &err] {
            assert!(
                !text.chars().any(|c| c != '\n' && escape::is_unsafe(c)),
                "{text:?}"
            );
        }
        // Four lines, two findings with advice, three lines of JSON; a note, a fault and its advice.
        assert_eq!(
            (out.lines().count(), err.lines().count()),
            (11, 3),
            "{out}{err}"
        );
    }

    #[test]
    fn sentences_show_nothing_of_a_key_and_secrets_go_out_as_they_are() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n";
        let (out, err) = printed(|output| {
            output.line(format!("cannot read {pem:?}"));
            output.row(pem);
            output.note(pem);
        });
        assert!(!(out + &err).contains("MIGHAgEA"));
        let (out, err) = printed(|output| {
            output.secret(pem.as_bytes());
            output.line("the key was printed");
        });
        assert_eq!((out.as_str(), err.as_str()), (pem, "the key was printed\n"));
    }

    /// A reader that is gone, or a full disk.
    struct Gone(io::ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_has_read_enough_and_a_full_disk_is_a_failure() {
        let exit = |kind, exit| {
            let mut output = Output::to(Gone(kind), io::sink());
            output.line("x");
            assert!(output.is_closed());
            format!("{:?}", output.finish(Ok(exit)))
        };
        let code = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(exit(io::ErrorKind::BrokenPipe, Exit::DENIED), code(3));
        assert_eq!(exit(io::ErrorKind::StorageFull, Exit::OK), code(78));
        assert_eq!(exit(io::ErrorKind::StorageFull, Exit::DENIED), code(78));
    }
}
