//! The help of every command, and the table of exit codes.

use assert_cmd::Command;

fn tenantd(args: &[&str]) -> String {
    let mut command = Command::cargo_bin("tenantd").unwrap();
    let output = command.args(args).env_clear().env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The names in the list of commands of a help text.
fn commands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = list
        .take_while(|line| !line.is_empty())
        // A description that continues in the next line is indented deeper.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

fn all(path: &[String], text: &mut String) -> usize {
    let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
    args.push("--help");
    let help = tenantd(&args);
    text.push_str(&format!("# tenantd {}\n\n{help}\n", args.join(" ")));
    let below: Vec<Vec<String>> =
        commands(&help).into_iter().map(|name| path.iter().cloned().chain([name]).collect()).collect();
    1 + below.iter().map(|path| all(path, text)).sum::<usize>()
}

#[test]
fn the_help_of_every_command() {
    let mut text = String::new();
    let count = all(&[], &mut text);
    assert!(count > 20, "{count} commands were found");
    super::compare("help", &text);
}
