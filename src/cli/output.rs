//! Where text goes: results to standard output, everything else to standard error. Nothing here panics, and nothing
//! that could not be written is dropped.

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};

use super::args::{Colour, Global};
use crate::report::set_table_width;

/// The first failure to write, and to which of the two.
static LOST: OnceLock<(&str, io::Error)> = OnceLock::new();

/// A result, to standard output.
pub fn say(text: &str) {
    write(&mut io::stdout(), "standard output", text.as_bytes());
}

/// Everything that is not the result, to standard error.
pub fn tell(text: &str) {
    write(&mut io::stderr(), "standard error", text.as_bytes());
}

/// [`tell`] with colours where standard error shows them.
pub fn tell_styled(text: &dyn std::fmt::Display) {
    let mut stream = AutoStream::auto(io::stderr());
    write(&mut stream, "standard error", text.to_string().as_bytes());
}

fn write(stream: &mut dyn Write, name: &'static str, text: &[u8]) {
    if LOST.get().is_some_and(|(lost, _)| *lost == name) {
        return;
    }
    if let Err(error) = stream.write_all(text).and_then(|()| stream.flush()) {
        lose(name, error);
    }
}

/// Remembers that something could not be written.
pub fn lose(name: &'static str, error: io::Error) {
    // Only the first failure is reported.
    let _ = LOST.set((name, error));
}

/// The error about text that could not be written. A reader that closed its end is no error.
pub fn lost() -> Option<String> {
    let (name, error) = LOST.get()?;
    (error.kind() != ErrorKind::BrokenPipe).then(|| format!("cannot write to {name}: {error}"))
}

/// Whether a stream can no longer be written to.
pub fn is_cut_off() -> bool {
    LOST.get().is_some()
}

/// Sets colours and table width from the options. The colours count for both streams and for clap's own messages.
pub fn set_up(global: &Global) {
    set_colour(global.color);
    set_table_width(terminal_width().filter(|_| !global.wide));
}

/// The width of a terminal that does not know its own.
const USUAL_WIDTH: u16 = 80;

/// The columns of the terminal on standard output. One that says 0 columns, or 0 rows, does not know its size.
fn terminal_width() -> Option<u16> {
    let known = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0);
    known.or_else(|| io::stdout().is_terminal().then_some(USUAL_WIDTH))
}

fn set_colour(colour: Colour) {
    match colour {
        // A CI's terminal counts as one that shows colours, whatever its TERM says: this one says that it does not.
        Colour::Auto if dumb() => ColorChoice::Never,
        Colour::Auto => ColorChoice::Auto,
        Colour::Always => ColorChoice::Always,
        Colour::Never => ColorChoice::Never,
    }
    .write_global();
}

fn dumb() -> bool {
    let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
    !forced && std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// [`set_up`] for a command line that may not be valid: only `--color` is looked for.
pub fn set_up_early(args: &[OsString]) {
    set_colour(match value_of(args, "--color", None) {
        Some("never") => Colour::Never,
        Some("always") => Colour::Always,
        _ => Colour::Auto,
    });
}

/// Whether a command line that is not valid asks for JSON.
pub fn wants_json(args: &[OsString]) -> bool {
    value_of(args, "--output", Some("-o")) == Some("json")
}

/// The value of an option in a command line that could not be parsed. Arguments after `--` are no options.
fn value_of<'a>(args: &'a [OsString], long: &str, short: Option<&str>) -> Option<&'a str> {
    let mut args = args.iter().filter_map(|arg| arg.to_str()).take_while(|arg| *arg != "--");
    while let Some(arg) = args.next() {
        if arg == long || short == Some(arg) {
            return args.next();
        }
        if let Some(value) = arg.strip_prefix(long).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value);
        }
        if let Some(value) = short.and_then(|short| arg.strip_prefix(short)) {
            return Some(value.strip_prefix('=').unwrap_or(value));
        }
    }
    None
}

/// NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM=dumb and `--color` decide, then whether it is a terminal.
pub fn colour_on_stdout() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

/// [`colour_on_stdout`] of standard error.
pub fn colour_on_stderr() -> bool {
    AutoStream::choice(&io::stderr()) != ColorChoice::Never
}

/// How long a terminal may stay silent.
const SILENCE: Duration = Duration::from_secs(1);

/// Waits for `work`. On a terminal, if it takes long, one line says what it waits for.
pub async fn patiently<T>(what: impl FnOnce() -> String, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(SILENCE) => {}
    }
    if io::stderr().is_terminal() {
        tell(&format!("{} …\n", what()));
    }
    work.await
}

/// `reading branch, hq`
pub fn reading<K: std::fmt::Display>(instances: impl IntoIterator<Item = K>) -> String {
    let names: Vec<String> = instances.into_iter().map(|key| key.to_string()).collect();
    format!("reading {}", names.join(", "))
}
