//! The first setup: `init`, messages that name the next command, and file permissions.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::process::Command;

use crate::site::{PROGRAM, Ran, at_both_sites};

async fn in_an_empty_place(dir: &Path, environment: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = Command::new(PROGRAM);
    command.args(args).current_dir(dir).env_remove("TENANTD_CONFIG").env_remove("CREDENTIALS_DIRECTORY");
    command.env("NO_COLOR", "1").env_remove("TENANTD_LOG").stdin(std::process::Stdio::null());
    let output = command.envs(environment.iter().copied()).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_writes_a_configuration_that_validates_once_there_is_a_tenant_and_overwrites_nothing() {
    let place = tempfile::tempdir().unwrap();
    let ran = in_an_empty_place(place.path(), &[], &["init", "--dir", "pbx"]).await;
    let config = place.path().join("pbx/tenantd.yaml");
    for line in [
        "Wrote ",
        "pbx/tenants.d",
        "tenantd pbx check",
        "tenantd import --instance hq",
        "export TENANTD_CONFIG=",
    ] {
        assert!(ran.ended_with(0).stdout.contains(line), "{line}: {ran:#?}");
    }
    assert_eq!(mode(&place.path().join("pbx/credentials")), 0o700);
    assert_eq!(mode(&place.path().join("pbx/tenants.d")), 0o755);
    let config = config.to_str().unwrap();
    // A dead end: no tenants. It names what writes the first ones.
    let ran = in_an_empty_place(place.path(), &[], &["-c", config, "validate"]).await;
    assert!(ran.ended_with(1).stderr.contains("`tenantd import --instance INSTANCE`"), "{ran:#?}");
    std::fs::write(place.path().join("pbx/tenants.d/acme.yaml"), crate::site::text_of("acme", "")).unwrap();
    let ran = in_an_empty_place(place.path(), &[], &["-c", config, "validate"]).await;
    assert!(ran.ended_with(0).stdout.contains("1 valid tenant, 0 errors"), "{ran:#?}");
    // Another: no credentials.
    let ran = in_an_empty_place(place.path(), &[], &["-c", config, "plan"]).await;
    assert!(
        ran.ended_with(1).stderr.contains("export CREDENTIALS_DIRECTORY=/etc/tenantd/credentials"),
        "{ran:#?}"
    );
    let credentials = place.path().join("pbx/credentials").display().to_string();
    let set = [("CREDENTIALS_DIRECTORY", credentials.as_str())];
    let ran = in_an_empty_place(place.path(), &set, &["-c", config, "plan"]).await;
    let advice = format!("install -m 600 /dev/stdin {credentials}/hq");
    assert!(ran.ended_with(1).stderr.contains(&advice), "{ran:#?}");
    // What it advises works, literally.
    let typed =
        std::process::Command::new("sh").arg("-c").arg(format!("echo secret | {advice}")).status().unwrap();
    assert!(typed.success());
    let ran = in_an_empty_place(place.path(), &set, &["-c", config, "plan"]).await;
    assert!(!ran.stderr.contains("there is no secret"), "{ran:#?}");

    let before = std::fs::read_to_string(config).unwrap();
    let ran = in_an_empty_place(place.path(), &[], &["init", "--dir", "pbx"]).await;
    assert!(ran.ended_with(1).stderr.contains("nothing was written, because "), "{ran:#?}");
    assert_eq!(std::fs::read_to_string(config).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_configuration_suggests_init_and_sandbox() {
    let place = tempfile::tempdir().unwrap();
    for args in [&["plan"][..], &["validate"], &["status"]] {
        let ran = in_an_empty_place(place.path(), &[("TENANTD_CONFIG", "nowhere/tenantd.yaml")], args).await;
        let said = ran.ended_with(1).stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("`tenantd init`") && said.contains("`tenantd sandbox`"), "{ran:#?}");
    }
    let set = [("TENANTD_CONFIG", "here/tenantd.yaml")];
    in_an_empty_place(place.path(), &set, &["init"]).await.ended_with(0);
    assert!(place.path().join("here/tenantd.yaml").exists(), "it writes the one that the message named");
}

at_both_sites! { async fn files_with_personal_data_are_readable_by_their_owner_only_under_any_umask(site) {
    site.configure("archive: { dir: archived }\n");
    std::fs::remove_dir(site.path("state")).unwrap();
    site.tenant("acme");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; \"$0\" apply --yes && \"$0\" archive acme", PROGRAM]);
    site.finish(command).await.ended_with(0);
    let mut looked_at = 0;
    for dir in ["state", "archived"].map(|name| site.path(name)).into_iter().filter(|dir| dir.exists()) {
        assert_eq!(mode(&dir), 0o700, "{}", dir.display());
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at >= if site.backend == Backend::Sqlite { 3 } else { 1 }, "{looked_at}");
    if site.backend == Backend::Sqlite {
        // While the daemon runs, its journals too.
        let daemon = site.daemon_below("daemon", &["sh", "-c", "umask 000; exec \"$@\"", "sh"], &[]);
        crate::site::until("the first pass", || daemon.told().contains("plan p-")).await;
        for suffix in ["", "-wal", "-shm", ".writer"] {
            assert_eq!(mode(&site.path(&format!("state/tenantd.db{suffix}"))), 0o600, "{suffix}");
        }
        daemon.stop().await;
        // What an earlier version left open is named, with a command that repairs it.
        let database = site.path("state/tenantd.db");
        std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
        let ran = site.run(&["apply", "--yes"]).await;
        let command = ran.ended_with(0).stderr.lines().find_map(|line| line.split_once("To correct it: ")).unwrap().1.to_owned();
        assert!(std::process::Command::new("sh").arg("-c").arg(&command).status().unwrap().success(), "{command}");
        let ran = site.run(&["apply", "--yes"]).await;
        assert!(ran.ended_with(0).stderr.is_empty(), "{ran:#?}");
    }
} }
