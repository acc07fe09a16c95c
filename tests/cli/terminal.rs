//! The program on a terminal: confirmation, width and colours.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};

use crate::common::harness::Backend;
use crate::site::{PATIENCE, PROGRAM, Site, at_both_sites, until};

/// The program with all three streams on a terminal of its own.
pub struct OnTerminal {
    child: Child,
    master: File,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: std::thread::JoinHandle<()>,
}

/// What stood on the terminal, and how the program ended.
#[derive(Debug)]
pub struct Seen {
    pub code: i32,
    pub text: String,
}

impl OnTerminal {
    pub fn start(site: &Site, args: &[&str], columns: u16, environment: &[(&str, &str)]) -> Self {
        Self::of_size(site, args, (50, columns), environment)
    }

    /// On a terminal of so many rows and columns, of which both may be 0: then it does not know its size.
    fn of_size(
        site: &Site,
        args: &[&str],
        (rows, columns): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let mut command = Command::new(PROGRAM);
        site.surround(&mut command);
        command
            .args(args)
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("CI")
            .env("TERM", "xterm-256color")
            .envs(environment.iter().copied())
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave);
        let child = command.spawn().unwrap();
        // Its own copies of the terminal would keep it from ever ending.
        drop(command);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut from, into) = (File::from(master.try_clone().unwrap()), Arc::clone(&shown));
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { child, master: File::from(master), shown, reader }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).replace("\r\n", "\n")
    }

    pub fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    pub async fn asks(&self) {
        until("the question", || self.text().contains("[y/N]")).await;
    }

    pub async fn end(mut self) -> Seen {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let code = ended.unwrap_or_else(|_| panic!("it does not end: {}", self.text())).unwrap().code();
        let begun = Instant::now();
        while !self.reader.is_finished() && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Seen { code: code.unwrap_or(-1), text: self.text() }
    }
}

async fn shown(site: &Site, args: &[&str], columns: u16, environment: &[(&str, &str)]) -> Seen {
    OnTerminal::start(site, args, columns, environment).end().await
}

at_both_sites! { async fn apply_on_a_terminal_shows_the_plan_and_does_nothing_unless_the_answer_is_yes(site) {
    site.tenants(2);
    for answer in ["\n", "n\n", "no\n", "what\n", "\u{4}"] {
        let mut apply = OnTerminal::start(&site, &["apply"], 100, &[("NO_COLOR", "1")]);
        apply.asks().await;
        assert!(apply.text().contains("create t00 on hq"), "the plan stands before the question: {}", apply.text());
        assert!(apply.text().contains(": 2 to create? [y/N]"), "{}", apply.text());
        apply.types(answer);
        let seen = apply.end().await;
        assert_eq!(seen.code, 1, "{answer:?}: {seen:#?}");
        assert!(seen.text.contains("not confirmed, so nothing was changed"), "{seen:#?}");
        assert_eq!(site.mutations(), 0, "{answer:?}");
    }
    let mut apply = OnTerminal::start(&site, &["apply"], 100, &[("NO_COLOR", "1")]);
    apply.asks().await;
    apply.types("yes\n");
    let seen = apply.end().await;
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.text.contains("2 done, 0 failed"), "{seen:#?}");
    assert_eq!(seen.text.matches("create t00 on hq — ").count(), 1, "the plan is shown once: {seen:#?}");
    // Nothing to do needs no answer, nor do `--yes` and the id of the plan.
    assert_eq!(shown(&site, &["apply"], 100, &[]).await.code, 0);
    site.tenant_with("t00", "max_users: 3\n");
    let seen = shown(&site, &["apply", "-y"], 100, &[]).await;
    assert!(seen.code == 0 && !seen.text.contains("[y/N]"), "{seen:#?}");
    site.tenant_with("t00", "max_users: 4\n");
    let id = site.plan().await["plan_id"].as_str().unwrap().to_owned();
    let seen = shown(&site, &["apply", "--plan", &id], 100, &[]).await;
    assert!(seen.code == 0 && !seen.text.contains("[y/N]"), "{seen:#?}");
    site.comes_to_rest().await;
} }

at_both_sites! { async fn apply_without_terminal_and_yes_is_refused_if_there_are_changes(site) {
    site.tenants(2);
    let ran = site.run_as_it_is(&["apply"]).await;
    ran.ended_with(64);
    assert!(ran.stderr.contains("Nothing was changed, because there is no terminal to ask on (2 to create).") && ran.stderr.contains("`tenantd apply --yes`"), "{ran:#?}");
    assert!(ran.stdout.contains("2 to create"), "the plan is shown: {ran:#?}");
    let ran = site.run_as_it_is(&["apply", "-o", "json"]).await;
    assert!(ran.ended_with(64).json()["error"].as_str().unwrap().contains("--yes"), "{ran:#?}");
    assert_eq!(site.mutations(), 0);
    site.run_as_it_is(&["apply", "--yes"]).await.ended_with(0);
    site.run_as_it_is(&["apply"]).await.ended_with(0);
    site.tenant_with("t00", "max_users: 3\n");
    let id = site.plan().await["plan_id"].as_str().unwrap().to_owned();
    site.run_as_it_is(&["apply", "--plan", &id]).await.ended_with(0);
    site.comes_to_rest().await;
} }

/// A daemon that looks by itself only once an hour.
fn rarely(site: &Site) {
    let config = std::fs::read_to_string(site.path("tenantd.yaml")).unwrap();
    assert!(config.contains("interval: 5s, quiet: 100ms, quiet_max: 1s"), "{config}");
    let rare =
        config.replace("interval: 5s, quiet: 100ms, quiet_max: 1s", "interval: 1h, quiet: 1m, quiet_max: 2m");
    std::fs::write(site.path("tenantd.yaml"), rare).unwrap();
}

at_both_sites! { async fn apply_asks_for_confirmation_with_a_running_daemon(site) {
    site.tenants(2);
    rarely(&site);
    let daemon = site.daemon("daemon");
    until("the first run", || daemon.told().contains("plan p-")).await;
    until("its end", || daemon.told().contains("applied p-")).await;
    site.tenant_with("t00", "max_users: 3\n");
    let before = site.mutations();
    site.run_as_it_is(&["apply"]).await.ended_with(64);
    let mut apply = OnTerminal::start(&site, &["apply"], 100, &[("NO_COLOR", "1")]);
    apply.asks().await;
    apply.types("\n");
    assert_eq!(apply.end().await.code, 1);
    assert_eq!(site.mutations(), before);
    let mut apply = OnTerminal::start(&site, &["apply"], 100, &[("NO_COLOR", "1")]);
    apply.asks().await;
    apply.types("y\n");
    let seen = apply.end().await;
    assert_eq!(seen.code, 0, "{seen:#?}");
    assert!(seen.text.contains("to do this run") && seen.text.contains("1 done"), "{seen:#?}");
    assert_eq!(seen.text.matches("update t00 on hq — ").count(), 1, "the plan is shown once: {seen:#?}");
    assert!(site.mutations() > before);
    daemon.stop().await;
    site.comes_to_rest().await;
} }

at_both_sites! { async fn apply_refuses_a_plan_that_changed_before_the_answer(site) {
    site.tenants(1);
    let mut apply = OnTerminal::start(&site, &["apply"], 100, &[("NO_COLOR", "1")]);
    apply.asks().await;
    site.tenant("another");
    apply.types("y\n");
    let seen = apply.end().await;
    assert_eq!(seen.code, 5, "{seen:#?}");
    assert!(seen.text.contains("since the question was asked"), "{seen:#?}");
    assert_eq!(site.mutations(), 0);
    site.apply().await;
    site.comes_to_rest().await;
} }

/// Columns that a text takes, without what only colours it.
fn widest(text: &str) -> usize {
    let plain = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap().replace_all(text, "").into_owned();
    // Chinese characters take two columns.
    let width =
        |line: &str| line.chars().map(|c| 1 + usize::from(('\u{2e80}'..'\u{fb00}').contains(&c))).sum();
    plain.lines().map(width).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_fit_the_terminal_and_are_not_wrapped_or_padded_in_a_pipe() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    let name = "the department of very long names that does not fit beside anything else at all";
    let wide = "日本電信電話株式会社東日本営業本部の長い名前";
    for (key, name) in [("long", name), ("wide", wide)] {
        let text = format!("name: {name}\ndomain: {key}.customers.example.com\npbx_instance: hq\n");
        site.write(&format!("{key}.yaml"), text);
    }
    site.apply().await;
    for columns in [60, 80, 120] {
        for args in [&["status"][..], &["stats"]] {
            let seen = shown(&site, args, columns, &[]).await;
            // Wrapped within a column, in which the beginning of the key stands all the same.
            assert!(seen.text.contains("lon"), "{seen:#?}");
            let width = widest(&seen.text);
            assert!(width <= usize::from(columns), "{args:?}: {width} on {columns}:\n{}", seen.text);
        }
    }
    // A terminal that does not know its size has 80 columns.
    for size in [(0, 0), (0, 80), (50, 0)] {
        let seen = OnTerminal::of_size(&site, &["status"], size, &[]).end().await;
        assert!((60..=80).contains(&widest(&seen.text)), "{size:?}:\n{}", seen.text);
    }
    for columns in [60, 80] {
        let seen = shown(&site, &["status"], columns, &[]).await;
        let heading = seen.text.lines().next().unwrap_or_default();
        for word in ["KEY", "NAME", "DOMAIN", "INSTANCE", "STATE", "CONDITION"] {
            assert!(heading.split_whitespace().any(|found| found == word), "{word} at {columns}: {heading}");
        }
    }
    let long = shown(&site, &["status", "--wide"], 80, &[]).await;
    assert!(long.text.lines().any(|line| line.contains(name)), "{long:#?}");
    for args in [&["status"][..], &["stats"]] {
        let piped = site.run(args).await;
        assert!(piped.stdout.lines().all(|line| line == line.trim_end()), "{piped:#?}");
        assert!(args[0] == "stats" || piped.stdout.lines().any(|line| line.contains(name)), "{piped:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colour_options_apply_to_standard_error_and_standard_output_alike() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    // Something on both streams: a plan, and a file's problem with its source line.
    site.write("broken.yaml", "name: [");
    let coloured = |text: &str| text.contains('\u{1b}');
    let seen = shown(&site, &["plan"], 100, &[]).await;
    let error = seen.text.lines().find(|line| line.contains("broken.yaml:")).unwrap();
    assert!(coloured(error) && coloured(seen.text.lines().last().unwrap()), "{seen:#?}");
    // A machine that runs a CI's jobs says so in `CI`.
    for ci in [&[][..], &[("CI", "true")]] {
        for refused in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
            let environment = [&[refused], ci].concat();
            for args in [
                &["plan"][..],
                &["validate"],
                &["plan", "--log", "debug"],
                &["apply", "--bogus"],
                &["--help"],
            ] {
                let seen = shown(&site, args, 100, &environment).await;
                assert!(
                    !seen.text.is_empty() && !coloured(&seen.text),
                    "{environment:?} {args:?}: {seen:#?}"
                );
            }
        }
    }
    for args in [&["plan", "--color", "never", "--log", "debug"][..], &["apply", "--color=never", "--bogus"]]
    {
        let seen = shown(&site, args, 100, &[]).await;
        assert!(!seen.text.is_empty() && !coloured(&seen.text), "{args:?}: {seen:#?}");
    }
    // In a pipe, and although NO_COLOR is set there.
    let ran = site.run(&["plan", "--color", "always"]).await;
    assert!(coloured(&ran.stdout) && coloured(&ran.stderr), "{ran:#?}");
    let ran = site.run(&["plan"]).await;
    assert!(!coloured(&ran.stdout) && !coloured(&ran.stderr), "{ran:#?}");
    // JSON is never painted.
    let ran = site.run(&["plan", "--color", "always", "-o", "json"]).await;
    assert!(!coloured(&ran.stdout), "{ran:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemons_log_is_coloured_only_on_request() {
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    for (environment, coloured) in
        [(&[][..], true), (&[("NO_COLOR", "1")], false), (&[("TERM", "dumb"), ("CI", "1")], false)]
    {
        let daemon = OnTerminal::start(&site, &["run"], 100, environment);
        until("a run", || daemon.text().contains("plan") && daemon.text().contains("INFO")).await;
        assert_eq!(daemon.text().contains('\u{1b}'), coloured, "{environment:?}: {}", daemon.text());
        crate::site::signal_process(daemon.child.id().unwrap(), "TERM");
        assert_eq!(daemon.end().await.code, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_wait_is_explained_on_a_terminal_and_nowhere_else() {
    use fusionpbx_standin::{Fault, FaultKind};
    let site = Site::new(Backend::Sqlite).await.unwrap();
    site.tenant("acme");
    // What a command says of a database without a table is not what is checked here.
    site.run(&["apply", "--yes"]).await.ended_with(0);
    let quick = shown(&site, &["plan"], 100, &[("NO_COLOR", "1")]).await;
    assert!(quick.code == 0 && !quick.text.contains("reading branch"), "{quick:#?}");
    let one_slow_answer = || {
        site.pbx("hq").inject(Fault::new(FaultKind::Latency(Duration::from_secs(2))).first(1));
    };
    for args in [&["plan"][..], &["show", "acme"]] {
        one_slow_answer();
        let seen = shown(&site, args, 100, &[("NO_COLOR", "1")]).await;
        assert!(seen.text.starts_with("reading branch, hq …\n"), "{args:?}: {seen:#?}");
    }
    one_slow_answer();
    let seen = shown(&site, &["pbx", "check"], 100, &[("NO_COLOR", "1")]).await;
    assert!(seen.text.contains("signing in to hq …\n"), "{seen:#?}");
    one_slow_answer();
    let ran = site.run(&["plan"]).await;
    assert!(ran.ended_with(0).stderr.is_empty(), "{ran:#?}");
}
