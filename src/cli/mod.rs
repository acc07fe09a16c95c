//! The commands.

mod adopt;
mod args;
mod block;
mod confirm;
mod context;
mod exit;
mod import;
mod init;
mod known;
mod pbx;
mod plan;
mod run;
mod sandbox;
mod show;
mod status;
mod turn;
mod validate;
mod words;
mod world;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

pub use args::Cli;
pub use context::read_directory;
pub use exit::Exit;

use args::Command;
use context::{Context, start_log};

/// Runs one command line to its exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // `--help` and `--version` are no usage errors.
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let Cli { global, command } = cli;
    let default_log = match &command {
        Command::Run => "info",
        _ => "warn",
    };
    if let Err(failure) = start_log(&global, default_log) {
        eprintln!("error: {}", failure.message);
        return failure.exit.into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return Exit::Error.into();
        }
    };
    let context = Context { global };
    let ended = runtime.block_on(dispatch(&context, &command));
    // A blocking read that hangs (a dead mount) must not keep the program from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            failure.exit.into()
        }
    }
}

async fn dispatch(context: &Context, command: &Command) -> context::Result<Exit> {
    match command {
        Command::Validate => validate::run(context),
        Command::Plan(args) => plan::plan(context, args).await,
        Command::Apply(args) => plan::apply(context, args).await,
        Command::Run => run::run(context).await,
        Command::Status => status::run(context).await,
        Command::Show { key } => show::run(context, key).await,
        Command::Import(args) => import::run(context, args).await,
        Command::Adopt(args) => context.also_as_json(adopt::run(context, args)).await,
        Command::Block(args) => block::run(context, args).await,
        Command::Init(args) => init::run(context, args),
        Command::Pbx(command) => context.also_as_json(pbx::run(context, command)).await,
        Command::Approve(args) => words::approve(context, args).await,
        Command::Suspend(args) => words::suspend(context, args).await,
        Command::Resume(args) => words::resume(context, args).await,
        Command::Isolation(command) => context.also_as_json(world::isolation(context, command)).await,
        Command::Stats { key } => context.also_as_json(world::stats(context, key.as_ref())).await,
        Command::Archive(args) => context.also_as_json(world::archive(context, args)).await,
        Command::Restore { file } => context.also_as_json(world::restore(context, file)).await,
        Command::Sync(args) => context.also_as_json(world::sync(context, args)).await,
        Command::Sandbox(args) => sandbox::run(context, args).await,
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "tenantd", &mut std::io::stdout());
            Ok(Exit::Done)
        }
        Command::Man => man(),
    }
}

/// The man page, from the same definition as `--help`, with the tables that a man page should have.
fn man() -> context::Result<Exit> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(Cli::command());
    let written = man
        .render(&mut page)
        .and_then(|()| options_of_commands(&Cli::command(), "tenantd", &mut page))
        .and_then(|()| page.write_all(include_bytes!("man-tail.roff")))
        .and_then(|()| std::io::stdout().write_all(&page));
    written.map(|()| Exit::Done).map_err(|error| context::Failure::of(&error))
}

/// A section for each command: what it does, and its own options. Those of the first page hold for all.
fn options_of_commands(of: &clap::Command, path: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    for command in of.get_subcommands() {
        let path = format!("{path} {}", command.get_name());
        let man = clap_mangen::Man::new(command.clone());
        if command.has_subcommands() {
            options_of_commands(command, &path, page)?;
            continue;
        }
        let mut section = Vec::new();
        man.render_description_section(&mut section)?;
        let arguments = command.get_arguments().next().is_some();
        if arguments {
            man.render_options_section(&mut section)?;
        }
        let section = String::from_utf8_lossy(&section)
            .replace(".SH DESCRIPTION", &format!(".SH \"{}\"", path.to_uppercase()))
            .replace(".SH OPTIONS", ".SS Options");
        page.write_all(section.as_bytes())?;
    }
    Ok(())
}
