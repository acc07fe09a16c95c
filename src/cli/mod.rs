//! The commands.

mod actor;
mod adopt;
mod apply;
mod approve;
mod archive;
mod args;
mod block;
mod confirm;
mod context;
mod examples;
mod exit;
mod gather;
mod import;
mod init;
mod isolation;
mod log;
mod lookup;
mod man;
mod output;
mod pause;
mod pbx;
mod plan;
mod run;
mod sandbox;
mod show;
mod stats;
mod status;
mod stop;
mod sync;
mod validate;
mod wake;
mod writer;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::{Resettable, StyledStr};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, FromArgMatches as _};

pub use args::Cli;
pub use exit::Exit;

use args::{Command, Output};
use context::Context;

use crate::report;

/// Runs one command line to its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    output::set_up_early(&args);
    let Cli { global, command } = match parse(&args) {
        Ok(cli) => cli,
        Err(refused) => return refused.show(output::wants_json(&args)).into(),
    };
    output::set_up(&global);
    let default_log = match &command {
        Command::Run => "info",
        _ => "warn",
    };
    let started = log::start(&global, default_log);
    let records_only = matches!(command, Command::Run) && global.log_format != args::LogFormat::Text;
    let context = Context::new(global);
    if records_only {
        context.only_log();
        // A panic is one record as well.
        std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    }
    if let Err(failure) = started {
        return context.finish(Err(failure)).into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = context::Failure::new(format!("cannot start the runtime: {error}"));
            return context.finish(Err(failure)).into();
        }
    };
    let ended = runtime.block_on(dispatch(&context, &command));
    // A blocking read that hangs (a dead mount) must not keep the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    context.finish(ended).into()
}

/// The command line, without options that the command would ignore.
fn parse(args: &[OsString]) -> Result<Cli, Refused> {
    let mut definition = examples::command();
    let matches = match definition.try_get_matches_from_mut(args) {
        Ok(matches) => matches,
        // `--help` and `--version`: the help names the variables.
        Err(error) if !error.use_stderr() => return Err(Refused::Error(error)),
        Err(error) => return Err(without_environment(args).unwrap_or(Refused::Error(error))),
    };
    let cli = Cli::from_arg_matches(&matches).map_err(Refused::Error)?;
    if let Some(refused) = ignored(&cli, &matches) {
        return Err(Refused::Error(definition.error(ErrorKind::ArgumentConflict, refused)));
    }
    Ok(cli)
}

/// A command line that is not carried out.
enum Refused {
    Error(clap::Error),
    /// The help of a command whose own command is missing.
    Help(StyledStr),
}

impl Refused {
    /// Shows it to people, and as a JSON document where a usage error meets `-o json`.
    fn show(&self, as_json: bool) -> Exit {
        let (exit, error) = match self {
            Self::Error(error) => (show_usage(error), summary(error)),
            Self::Help(help) => {
                output::tell_styled(&help.ansi());
                (Exit::Usage, "a subcommand is missing".to_owned())
            }
        };
        if as_json && exit == Exit::Usage {
            let document = serde_json::json!({
                "format_version": report::FORMAT_VERSION, "messages": [], "error": error,
            });
            output::say(&format!("{document:#}\n"));
        }
        exit
    }
}

/// What is wrong with the command line by itself. clap counts an option that the environment sets as an argument, and
/// would show it in the usage as if it were required.
fn without_environment(args: &[OsString]) -> Option<Refused> {
    let mut definition = examples::command().mut_args(|arg| arg.env(Resettable::Reset));
    let error = definition.try_get_matches_from_mut(args).err()?;
    let is_missing = error.kind() == ErrorKind::MissingSubcommand;
    Some(if is_missing { Refused::Help(help_of(args)) } else { Refused::Error(error) })
}

/// The help of the command whose own command is missing.
fn help_of(args: &[OsString]) -> StyledStr {
    let mut definition = examples::command();
    definition.build();
    let name = args
        .iter()
        .filter_map(|arg| arg.to_str())
        .find(|arg| definition.find_subcommand(arg).is_some_and(clap::Command::has_subcommands));
    match name.and_then(|name| definition.find_subcommand_mut(name)) {
        Some(of) => of.render_help(),
        None => definition.render_help(),
    }
}

/// Why an option that was given has no meaning for the command.
fn ignored(cli: &Cli, matches: &ArgMatches) -> Option<String> {
    let given = |id: &str| {
        let (_, sub) = matches.subcommand()?;
        Some(sub.value_source(id)? == ValueSource::CommandLine)
    };
    let name = match &cli.command {
        Command::Run => "run",
        Command::Sandbox(_) => "sandbox",
        Command::Completions { .. } => "completions",
        Command::Man => "man",
        _ => return None,
    };
    let makes_its_own = matches!(&cli.command, Command::Sandbox(args) if args.action.is_none());
    if makes_its_own && given("config") == Some(true) {
        return Some(
            "`sandbox` creates a configuration of its own, so it takes no --config. To name tenant files: --tenants DIR"
                .to_owned(),
        );
    }
    (cli.global.output == Output::Json)
        .then(|| format!("`{name}` has no JSON result, so it takes no --output"))
}

/// The error without usage and hints.
fn summary(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    first.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

/// Shows clap's message. `--help` and `--version` are no usage errors, unless they cannot be shown.
fn show_usage(error: &clap::Error) -> Exit {
    let shown = error.print().and_then(|()| std::io::stdout().flush());
    if let Err(lost) = shown {
        output::lose("standard output", lost);
    }
    if error.use_stderr() {
        return Exit::Usage;
    }
    match output::lost() {
        None => Exit::Done,
        Some(lost) => {
            output::tell(&format!("error: {lost}\n"));
            Exit::Error
        }
    }
}

async fn dispatch(context: &Context, command: &Command) -> context::Result<Exit> {
    match command {
        Command::Validate => validate::run(context),
        Command::Plan(args) => plan::run(context, args).await,
        Command::Apply(args) => apply::run(context, args).await,
        Command::Run => run::run(context).await,
        Command::Status(args) => status::run(context, args).await,
        Command::Show { key, earlier } => show::run(context, key, *earlier).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Adopt(args) => adopt::run(context, args).await,
        Command::Block(args) => block::run(context, args).await,
        Command::Init(args) => init::run(context, args),
        Command::Pbx(command) => pbx::run(context, command).await,
        Command::Approve(args) => approve::run(context, args).await,
        Command::Pause(args) => pause::pause(context, args).await,
        Command::Resume(args) => pause::resume(context, args).await,
        Command::Isolation(command) => isolation::run(context, command).await,
        Command::Stats { key } => stats::run(context, key.as_ref()).await,
        Command::Archive(args) => archive::archive(context, args).await,
        Command::Restore { file } => archive::restore(context, file).await,
        Command::Sync(args) => sync::run(context, args).await,
        Command::Sandbox(args) => sandbox::run(context, args).await,
        Command::Completions { shell } => {
            // Into memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut examples::command(), "tenantd", &mut script);
            context.say(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
        Command::Man => {
            let page = man::page().map_err(|error| context::Failure::of(&error))?;
            context.say(&String::from_utf8_lossy(&page));
            Ok(Exit::Done)
        }
    }
}
