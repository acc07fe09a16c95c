//! The sandbox: each command of its tour is typed as shown.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::site::{PROGRAM, signal_process, until};

struct Sandbox {
    dir: tempfile::TempDir,
    child: Child,
}

impl Sandbox {
    async fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        symlink(PROGRAM, dir.path().join("tenantd")).unwrap();
        let out = std::fs::File::create(dir.path().join("shown")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("sandbox").args(args).current_dir(dir.path()).env_remove("CARGO").env("NO_COLOR", "1");
        let errors = out.try_clone().unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(out).stderr(errors).kill_on_drop(true).spawn().unwrap();
        let sandbox = Self { dir, child };
        until("the tour", || sandbox.shown().contains("Ctrl-C ends the sandbox.")).await;
        sandbox
    }

    fn shown(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("shown")).unwrap()
    }

    fn config(&self) -> PathBuf {
        let shown = self.shown();
        PathBuf::from(
            shown.lines().find_map(|line| line.trim().strip_prefix("export TENANTD_CONFIG=")).unwrap(),
        )
    }

    /// The lines to type.
    fn tour(&self) -> Vec<String> {
        let shown = self.shown();
        shown.lines().filter_map(|line| line.strip_prefix("      ")).map(str::to_owned).collect()
    }

    async fn types(&self, line: &str) -> (bool, String) {
        let path = format!("{}:{}", self.dir.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.args(["-c", line]).current_dir(self.dir.path()).env("PATH", path).env("NO_COLOR", "1");
        command.env("TENANTD_CONFIG", self.config()).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    async fn end(mut self) -> String {
        signal_process(self.child.id().unwrap(), "INT");
        assert!(self.child.wait().await.unwrap().success(), "{}", self.shown());
        self.shown()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_tour_works_as_shown() {
    let sandbox = Sandbox::start(&[]).await;
    // What each shows: in the sandbox, or where it was typed.
    let expected = [
        "+name: \"Acme Corp & Sons\"",
        "acme.yaml",
        "",
        "Changed by hand",
        "3 imported, 1 skipped",
        "45",
        "disable acme on hq",
        "Moved the recorded times back by 31 days",
        "done delete acme on hq",
        "it was restored from an archive on",
        "umbrella.example.com",
    ];
    let tour = sandbox.tour();
    assert_eq!(tour.len(), expected.len(), "{tour:#?}");
    let config = sandbox.config();
    for (line, expected) in tour.iter().zip(expected) {
        let before = sandbox.shown().len();
        let (done, said) = sandbox.types(line).await;
        assert!(done, "{line}\n{said}\n{}", sandbox.shown());
        until(line, || sandbox.shown()[before..].contains(expected) || said.contains(expected)).await;
        // Let the pass that shows it end.
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    }
    let (_, plan) = sandbox.types("tenantd plan").await;
    assert!(plan.contains("nothing to do"), "{plan}");
    let ended = sandbox.end().await;
    assert!(ended.contains("The sandbox has ended") && ended.contains("tenantd init"), "{ended}");
    assert!(!config.exists(), "it is cleaned up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_starts_a_stand_in_for_each_instance_in_the_given_files() {
    let own = tempfile::tempdir().unwrap();
    for (key, instance) in [("acme", "pbx01"), ("beta", "pbx-south")] {
        let text =
            format!("name: {key} Ltd\ndomain: {key}.example.com\npbx_instance: {instance}\nmax_users: 900\n");
        std::fs::write(own.path().join(format!("{key}.yaml")), text).unwrap();
    }
    let sandbox = Sandbox::start(&["--tenants", own.path().to_str().unwrap()]).await;
    let shown = sandbox.shown();
    assert!(shown.contains("Stand-in FusionPBX servers (pbx-south, pbx01)"), "{shown}");
    assert!(shown.contains("2 to create: acme, beta") && !shown.contains("+name:"), "{shown}");
    let (done, said) = sandbox.types("tenantd sandbox poke acme --change gone").await;
    assert!(done && said.contains("Deleted acme.example.com on pbx01,"), "{said}");
    until("it is made again", || sandbox.shown().contains("done create acme on pbx01")).await;
    // Its own directory may be one that a daemon serves from.
    let (done, said) = sandbox.types(&sandbox.tour()[0]).await;
    assert!(done, "{said}");
    until("the change", || sandbox.shown().contains("+name: \"acme Ltd & Sons\"")).await;
    let text = std::fs::read_to_string(own.path().join("acme.yaml")).unwrap();
    assert!(text.contains("name: acme Ltd\n"), "the directory itself is not touched: {text}");
    // The sandbox can be named on the command line as well.
    let named = format!("env -u TENANTD_CONFIG tenantd -c {} sandbox poke beta", sandbox.config().display());
    let (done, said) = sandbox.types(&named).await;
    assert!(done && said.contains("beta"), "{said}");
    let (done, said) = sandbox.types("tenantd sandbox poke nobody").await;
    assert!(!done && said.contains("the tenant nobody is not recorded"), "{said}");
    let ended = sandbox.end().await;
    assert!(ended.contains("examples or copies"), "{ended}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poke_without_a_running_sandbox_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["sandbox", "poke", "acme"]).env("TENANTD_CONFIG", dir.path().join("tenantd.yaml"));
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Start one with `tenantd sandbox`"), "{said}");
}

#[test]
fn pbx_version_applies_to_all_stand_ins_or_to_one() {
    let empty = tempfile::tempdir().unwrap();
    let once = |versions: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tenantd"));
        command.args(["sandbox", "--once"]).current_dir(empty.path());
        for version in versions {
            command.args(["--pbx-version", version]);
        }
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for versions in [&["5.2.0"][..], &["master", "hq=5.4.4"][..]] {
        let (code, stdout, stderr) = once(versions);
        assert_eq!(code, Some(0), "{versions:?}\n{stdout}{stderr}");
        assert!(stdout.contains("6 done, 0 failed"), "{versions:?}\n{stdout}");
    }
    let (code, _, stderr) = once(&["4.4.1"]);
    assert_eq!(code, Some(64), "{stderr}");
    assert!(stderr.contains("the stand-in imitates 5.2.0, 5.3.0, 5.4.4, 5.5.7, master"), "{stderr}");
    let (code, _, stderr) = once(&["nosuch=5.4.4"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("names the instance `nosuch`; the sandbox has branch, hq"), "{stderr}");
}
