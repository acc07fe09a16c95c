//! The examples of each command, for its help and for the man page. A test parses and runs them.

use clap::{Command, CommandFactory as _};

use super::args::{Cli, GLOBAL};
use super::exit::Exit;

/// A command line, and what it does.
pub type Example = (&'static str, &'static str);

const TOP: &[Example] = &[
    ("tenantd sandbox", "try tenantd without any set-up"),
    ("tenantd validate", "check the files"),
    ("tenantd plan", "see what would be done"),
    ("tenantd apply", "review, confirm and apply"),
];

/// The examples of a command, by its words after `tenantd`.
pub fn of(path: &[&str]) -> &'static [Example] {
    match path {
        [] => TOP,
        ["validate"] => {
            &[("tenantd validate", "check all files"), ("tenantd validate -o json", "the same as JSON")]
        }
        ["plan"] => &[
            ("tenantd plan", "the whole plan"),
            ("tenantd plan --tenant acme", "one tenant"),
            ("tenantd plan --detailed-exitcode -o json", "in a merge request"),
        ],
        ["apply"] => &[
            ("tenantd apply", "ask before anything is changed"),
            ("tenantd apply --yes", "in a script"),
            ("tenantd apply --plan p-29c3f1a07b5e8d64", "exactly the plan that was reviewed"),
            ("tenantd apply --tenant acme --no-removals", "one tenant, without disabling or deleting any"),
        ],
        ["run"] => &[("tenantd run --log-format journal", "as the systemd service does")],
        ["status"] => &[
            ("tenantd status", "all tenants"),
            ("tenantd status --problems", "only tenants with a problem"),
            ("tenantd status --check", "one line for a monitoring system"),
        ],
        ["show"] => &[("tenantd show acme", "why the next step of acme happens or not")],
        ["import"] => &[
            ("tenantd import --instance hq --dry-run", "see what would be written"),
            ("tenantd import --instance hq --matching .example.com", "some of the domains"),
        ],
        ["adopt"] => &[
            ("tenantd adopt acme --dry-run", "see what would change"),
            ("tenantd adopt acme", "review, confirm and apply"),
            ("tenantd adopt --all --yes", "every tenant, after the database was lost"),
        ],
        ["block"] => &[("tenantd block acme", "block acme's web sign-in; acme stays disabled")],
        ["init"] => &[
            ("tenantd init", "in /etc/tenantd"),
            ("tenantd init --dir pbx", "everything in the directory pbx"),
        ],
        ["pbx"] => {
            &[("tenantd pbx check", "all connections"), ("tenantd pbx enroll hq", "accept a new server")]
        }
        ["pbx", "check"] => &[("tenantd pbx check --instance hq", "one connection")],
        ["pbx", "capture"] => &[("tenantd pbx capture hq", "save its pages for a bug report")],
        ["pbx", "enroll"] => &[("tenantd pbx enroll hq", "after hq was replaced on purpose")],
        ["approve"] => &[
            ("tenantd approve r-36e82b6ba3ea0096", "the held steps of the plan that shows this id"),
            ("tenantd approve --tenant acme --for 1d", "the deletion of acme"),
        ],
        ["pause"] => &[
            ("tenantd pause acme --until 2h --reason 'moving its phones'", "one tenant"),
            ("tenantd pause --instance hq --until 2026-12-01T08:00:00Z --reason upgrade", "one instance"),
            ("tenantd pause --all --until 3d --reason 'change freeze'", "everything"),
        ],
        ["resume"] => &[
            ("tenantd resume acme", "one tenant"),
            (
                "tenantd resume --all",
                "end the pause of everything; pauses of single tenants and instances stay",
            ),
        ],
        ["isolation"] => &[("tenantd isolation check", "the database and the PBXs")],
        ["isolation", "check"] => &[("tenantd isolation check --no-pbx", "the database alone")],
        ["stats"] => {
            &[("tenantd stats", "all tenants"), ("tenantd stats acme -o json", "one tenant, as JSON")]
        }
        ["archive"] => {
            &[("tenantd archive acme --to backups", "write all data of acme to the directory backups")]
        }
        ["restore"] => &[("tenantd restore backups/acme.tar.gz", "restore acme, as disabled")],
        ["sync"] => &[
            ("tenantd sync", "the users of all tenants"),
            ("tenantd sync acme --accept-missing", "those of acme, although many are missing on the PBX"),
        ],
        ["sandbox"] => &[
            ("tenantd sandbox", "watch, edit, see"),
            ("tenantd sandbox --once --tenants tenants.d", "the first run of one's own files"),
        ],
        ["sandbox", "poke"] => &[
            ("tenantd sandbox poke acme", "rename acme's domain on the PBX"),
            ("tenantd sandbox poke acme --change gone", "delete acme's domain on the PBX"),
        ],
        ["sandbox", "fast-forward"] => &[("tenantd sandbox fast-forward 31d", "until a retention has ended")],
        ["completions"] => &[("tenantd completions bash", "for ~/.local/share/bash-completion")],
        ["man"] => &[("tenantd man", "for man(1): save it as tenantd.1")],
        _ => &[],
    }
}

/// The command line's definition with examples and exit codes in its help.
pub fn command() -> Command {
    with_examples(Cli::command(), &[])
}

fn with_examples(mut command: Command, path: &[&str]) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in &names {
        let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        command = command.mut_subcommand(name, |sub| with_examples(sub, &path));
    }
    let mut text = String::new();
    let examples = of(path);
    if !examples.is_empty() {
        text.push_str("Examples:\n");
        let lines = examples.iter().map(|(line, what)| format!("  {line}\n      {what}"));
        text.push_str(&lines.collect::<Vec<_>>().join("\n"));
    }
    if path.is_empty() {
        text.push_str(&format!("\n\nExit codes: {}.", exit_codes()));
    }
    let short = format!(
        "{text}{}{GLOBAL} (see --help): --config, --output, --color, --wide, --log, --log-format",
        if text.is_empty() { "" } else { "\n\n" }
    );
    command.after_help(short).after_long_help(text)
}

/// `0 done; 1 error; …`
fn exit_codes() -> String {
    let codes = Exit::ALL.map(|exit| format!("{} {}", exit.number(), exit.short()));
    codes.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of an example, as a shell splits them.
    fn words(line: &str) -> Vec<String> {
        let parts = line.split('\'').enumerate().flat_map(|(number, part)| {
            let quoted = number % 2 == 1;
            let split: Vec<String> = if quoted {
                vec![part.to_owned()]
            } else {
                part.split_whitespace().map(str::to_owned).collect()
            };
            split
        });
        parts.collect()
    }

    fn check(command: &Command, path: &[&str], seen: &mut usize) {
        for sub in command.get_subcommands() {
            let path: Vec<&str> = path.iter().copied().chain([sub.get_name()]).collect();
            check(sub, &path, seen);
        }
        let examples = of(path);
        assert!(!examples.is_empty(), "`tenantd {}` has no example", path.join(" "));
        let help = command.get_after_long_help().expect("it has examples").to_string();
        for (line, _) in examples {
            assert!(help.contains(line), "the help of {path:?} lacks `{line}`");
            let words = words(line);
            assert_eq!(words[0], "tenantd", "{line}");
            assert!(path.iter().zip(&words[1..]).all(|(a, b)| a == b), "`{line}` is no example of {path:?}");
            if let Err(error) = super::command().try_get_matches_from(&words) {
                panic!("`{line}` is not understood: {error}");
            }
            *seen += 1;
        }
    }

    #[test]
    fn every_command_has_an_example_that_is_understood() {
        let mut seen = 0;
        check(&command(), &[], &mut seen);
        assert!(seen > 30, "only {seen} examples were looked at");
    }

    #[test]
    fn every_argument_of_every_command_is_described() {
        fn walk(command: &Command, looked_at: &mut usize) {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} of `{}` has no description",
                    argument.get_id(),
                    command.get_name()
                );
                *looked_at += 1;
            }
            command.get_subcommands().for_each(|sub| walk(sub, looked_at));
        }
        let mut looked_at = 0;
        walk(&command(), &mut looked_at);
        assert!(looked_at > 30, "only {looked_at} arguments were looked at");
    }

    #[test]
    fn own_options_and_global_options_stand_apart_and_the_short_help_has_one_line_for_the_latter() {
        for name in ["plan", "apply", "show"] {
            let mut command = command();
            command.build();
            let sub = command.find_subcommand_mut(name).expect("it is there");
            let long = sub.render_long_help().to_string();
            let global = long.find("Global options:").expect("a heading of their own");
            for option in ["--config", "--output", "--color", "--log-format"] {
                assert!(long.find(option).expect(option) > global, "{name}: {option} stands among its own");
            }
            let short = sub.render_help().to_string();
            assert!(short.lines().filter(|line| line.contains("--log-format")).count() == 1, "{short}");
            assert!(short.lines().count() < 30, "{short}");
        }
    }
}
