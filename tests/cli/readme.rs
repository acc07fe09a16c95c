//! "Run it for real" of the README, typed as it stands there, in order, on a machine that has nothing of tenantd.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use fusionpbx_standin::{StandIn, StandInOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::site::PROGRAM;

const README: &str = include_str!("../../README.md");
const PASSWORD: &str = "stand-in-Secret-1";

/// The section's blocks in their order, with their language.
fn blocks() -> Vec<(String, String)> {
    let from = README.find("\n## Run it for real\n").expect("the section");
    let section = &README[from + 1..];
    let to = section.find("\n### ").expect("its end");
    let mut blocks = Vec::new();
    let mut lines = section[..to].lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let body: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .map(|line| line.strip_prefix("   ").unwrap_or(line))
            .collect();
        blocks.push((language.to_owned(), body.join("\n") + "\n"));
    }
    blocks
}

/// The machine: a root directory instead of `/`, and programs that are the system's or play it.
struct Machine {
    root: tempfile::TempDir,
    server: StandIn,
}

impl Machine {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for dir in [
            "etc/systemd/system",
            "usr/bin",
            "usr/share/man/man1",
            "usr/share/bash-completion/completions",
            "var/lib",
            "checkout/target/release",
            "played",
        ] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::os::unix::fs::symlink(repository.join("systemd"), root.path().join("checkout/systemd")).unwrap();
        // Built already; without systemd, what it is reported is written down.
        std::os::unix::fs::symlink(PROGRAM, root.path().join("checkout/target/release/tenantd")).unwrap();
        let machine = Self {
            root,
            server: StandIn::start(StandInOptions {
                username: "tenantd@pbx1.example.com".to_owned(),
                password: PASSWORD.to_owned(),
                ..StandInOptions::default()
            })
            .await
            .unwrap(),
        };
        for player in ["cargo", "systemctl", "systemd-sysusers"] {
            let path = machine.path(&format!("played/{player}"));
            let told = machine.path("told");
            std::fs::write(&path, format!("#!/bin/sh\necho {player} \"$@\" >> '{}'\n", told.display()))
                .unwrap();
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let git = "git init --quiet --bare --initial-branch main";
        let origin = machine.path("origin.git");
        assert!(
            std::process::Command::new("sh")
                .arg("-c")
                .arg(format!("{git} '{}'", origin.display()))
                .status()
                .unwrap()
                .success()
        );
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What stands for another machine, or for `/`, in this one.
    fn here(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        let origin = self.path("origin.git").display().to_string();
        let mut text = text.replace("https://pbx1.example.com", self.server.url());
        text = text.replace("git@git.example.com:tenants.git", &origin);
        for dir in ["/etc/", "/usr/", "/var/lib/"] {
            // Only at the beginning of a path.
            for before in [" ", "=", "//"] {
                text = text.replace(&format!("{before}{dir}"), &format!("{before}{root}{dir}"));
            }
        }
        text
    }

    /// Types the lines into one shell; returns its exit code, and what was shown.
    async fn types(&self, lines: &str, input: &str) -> (bool, String) {
        let bin = self.path("usr/bin").display().to_string();
        let path = format!("{}:{bin}:{}", self.path("played").display(), std::env::var("PATH").unwrap());
        let config = self.path("etc/tenantd/tenantd.yaml");
        let mut command = Command::new("bash");
        command
            .args(["-e", "-u", "-c", &self.here(lines)])
            .current_dir(self.path("checkout"))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.root.path())
            .env("TENANTD_CONFIG", config)
            .env("NO_COLOR", "1")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Anna")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "anna@example.com")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that asks nothing may have ended already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let shown =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), shown)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_run_it_for_real_works_as_written() {
    let machine = Machine::new().await;
    let acme = machine.server.pbx().add_domain("acme.example.com", Some(true), Some("Acme Corp"));
    let mut environment = String::new();
    let mut typed = Vec::new();
    for (language, block) in blocks() {
        match language.as_str() {
            "yaml" => {
                let config = machine.path("etc/tenantd/tenantd.yaml");
                assert!(config.exists(), "init wrote the file that is edited");
                std::fs::write(&config, machine.here(&block)).unwrap();
            }
            "console" => {
                let (done, shown) = machine.types(&format!("{environment}{block}"), PASSWORD).await;
                let exports = block.lines().filter(|line| line.starts_with("export "));
                environment.extend(exports.map(|line| format!("{line}\n")));
                if block.contains("tenantd pbx check") && !done {
                    // As the text says, the first time it shows the fingerprint, to be pinned.
                    let found = machine.server.certificate_fingerprint().unwrap();
                    assert!(shown.contains(found), "{shown}");
                    let config = machine.path("etc/tenantd/tenantd.yaml");
                    let text = std::fs::read_to_string(&config).unwrap();
                    let pinned = text.replace(
                        "       sessions",
                        &format!("       tls: {{ fingerprint: \"{found}\" }}\n       sessions"),
                    );
                    let pinned = if pinned == text {
                        text.replace(
                            "    sessions",
                            &format!("    tls: {{ fingerprint: \"{found}\" }}\n    sessions"),
                        )
                    } else {
                        pinned
                    };
                    assert_ne!(pinned, text, "{text}");
                    std::fs::write(&config, pinned).unwrap();
                    let (done, shown) = machine.types(&format!("{environment}{block}"), "").await;
                    assert!(done, "{block}\n{shown}");
                } else {
                    assert!(done, "{block}\n{shown}");
                }
                if block.contains("tenantd import") {
                    assert!(
                        shown.contains("1 imported, 1 skipped") && shown.contains("nothing to do"),
                        "{shown}"
                    );
                }
                typed.push(block);
            }
            other => panic!("a block of another kind: {other}"),
        }
    }
    let all = typed.concat();
    for step in
        ["tenantd init", "tenantd pbx check", "tenantd import", "tenantd plan", "systemctl enable", "push"]
    {
        assert!(all.contains(step), "the README has no step {step}");
    }
    let told = std::fs::read_to_string(machine.path("told")).unwrap();
    assert_eq!(
        told,
        "cargo build --release\nsystemd-sysusers\nsystemctl daemon-reload\nsystemctl enable --now tenantd.service tenantd-pull.timer\n"
    );
    assert!(machine.path("usr/share/man/man1/tenantd.1").metadata().unwrap().len() > 1000);

    // What the units do then: a commit of someone else is fetched, and applied.
    let unit = |name: &str| std::fs::read_to_string(machine.path("etc/systemd/system").join(name)).unwrap();
    let command = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap().to_owned();
        line.replace("/usr/bin/git", "git")
    };
    let clone = machine.path("clone").display().to_string();
    let edit = format!(
        "git clone --quiet '{}' '{clone}'\ncd '{clone}'\necho 'max_users: 7' >> acme.yaml\ngit commit --quiet --all --message 'Seven users'\ngit push --quiet\n",
        machine.path("origin.git").display()
    );
    let fetch = command(&unit("tenantd-pull.service"));
    let (done, shown) = machine.types(&format!("{edit}{fetch}\n"), "").await;
    assert!(done, "{shown}");
    let serve = command(&unit("tenantd.service")).replace("/usr/bin/tenantd", "tenantd");
    let serve = format!("{environment}timeout --preserve-status --signal TERM 12 {serve}\n");
    let (done, shown) = machine.types(&serve, "").await;
    assert!(done, "{shown}");
    let limit = machine.server.pbx().settings(acme).into_iter().find(|row| row.subcategory == "users");
    assert_eq!(limit.and_then(|row| row.value).as_deref(), Some("7"), "{shown}");
}
