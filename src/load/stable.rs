use std::path::Path;
use std::time::Duration;

use super::{Snapshot, git};

/// How often the directory is read before it is called restless.
const ROUNDS: usize = 8;

/// Reads a directory until two readings in a row, `settle` apart, are the same: names, inode numbers, contents and
/// commit. A half-finished checkout, copy or save gives the old set or the new one, never a mixture.
///
/// While git works in the directory (`index.lock` is there), no reading counts. A directory that does not come to
/// rest in 8 readings is *unreadable*, with the reason: it justifies no removal. `sleep` is called between readings;
/// in async code this function belongs on a blocking thread.
pub fn stable_snapshot(dir: &Path, settle: Duration, sleep: &mut dyn FnMut(Duration)) -> Snapshot {
    stable(dir, settle, sleep, &|_| Snapshot::read(dir), None)
}

/// As [`stable_snapshot`], without the content of files whose stamps are as in an earlier reading. It is enough where the
/// directory was watched since then.
pub fn stable_snapshot_after(
    earlier: &Snapshot,
    dir: &Path,
    settle: Duration,
    sleep: &mut dyn FnMut(Duration),
) -> Snapshot {
    stable(dir, settle, sleep, &|last| Snapshot::read_after(dir, last), Some(earlier))
}

fn stable(
    dir: &Path,
    settle: Duration,
    sleep: &mut dyn FnMut(Duration),
    read: &dyn Fn(Option<&Snapshot>) -> Snapshot,
    earlier: Option<&Snapshot>,
) -> Snapshot {
    let mut lock = git::operation_in_progress(dir);
    let mut last = read(earlier);
    for _ in 1..ROUNDS {
        sleep(settle);
        let next = read(Some(&last));
        let lock_after = git::operation_in_progress(dir);
        if lock.is_none() && lock_after.is_none() && next == last {
            return next;
        }
        lock = lock_after;
        last = next;
    }
    let reason = match lock {
        Some(path) => {
            format!(
                "is being changed by git: {} exists. If no git is running, delete that file",
                path.display()
            )
        }
        None => {
            format!("keeps changing ({ROUNDS} readings, {} apart)", humantime::format_duration(settle))
        }
    };
    Snapshot::unreadable(dir, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir_with_git() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".git")).unwrap();
        std::fs::write(dir.path().join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        std::fs::create_dir(dir.path().join("tenants.d")).unwrap();
        std::fs::write(dir.path().join("tenants.d/a.yaml"), "name: A\n").unwrap();
        dir
    }

    #[test]
    fn a_quiet_directory_is_read_twice() {
        let root = dir_with_git();
        let dir = root.path().join("tenants.d");
        let mut sleeps = Vec::new();
        let snapshot = stable_snapshot(&dir, Duration::from_millis(250), &mut |time| sleeps.push(time));
        assert_eq!(snapshot.files.len(), 1);
        assert_eq!(sleeps, [Duration::from_millis(250)]);
    }

    #[test]
    fn a_change_between_readings_is_waited_out() {
        let root = dir_with_git();
        let dir = root.path().join("tenants.d");
        let mut round = 0;
        let snapshot = stable_snapshot(&dir, Duration::ZERO, &mut |_| {
            round += 1;
            if round <= 2 {
                std::fs::write(dir.join(format!("b{round}.yaml")), "name: B\n").unwrap();
            }
        });
        assert_eq!(snapshot.files.keys().collect::<Vec<_>>(), ["a.yaml", "b1.yaml", "b2.yaml"]);
        assert_eq!(round, 3);
    }

    #[test]
    fn the_same_size_and_name_with_other_contents_is_a_change() {
        let root = dir_with_git();
        let dir = root.path().join("tenants.d");
        let mut round = 0;
        let snapshot = stable_snapshot(&dir, Duration::ZERO, &mut |_| {
            round += 1;
            if round == 1 {
                std::fs::write(dir.join("a.yaml"), "name: B\n").unwrap();
            }
        });
        assert_eq!(round, 2);
        assert_eq!(snapshot, Snapshot::read(&dir));
    }

    #[test]
    fn git_at_work_is_waited_for_and_named_when_it_does_not_end() {
        let root = dir_with_git();
        let dir = root.path().join("tenants.d");
        let lock = root.path().join(".git/index.lock");
        std::fs::write(&lock, "").unwrap();
        let stuck = stable_snapshot(&dir, Duration::ZERO, &mut |_| {});
        assert!(stuck.unreadable.unwrap().contains("index.lock"));
        let mut round = 0;
        let fine = stable_snapshot(&dir, Duration::ZERO, &mut |_| {
            round += 1;
            if round == 2 {
                std::fs::remove_file(&lock).unwrap();
            }
        });
        assert_eq!(fine.unreadable, None);
    }

    #[test]
    fn a_directory_that_never_rests_is_unreadable() {
        let root = dir_with_git();
        let dir = root.path().join("tenants.d");
        let mut round = 0;
        let restless = stable_snapshot(&dir, Duration::ZERO, &mut |_| {
            round += 1;
            std::fs::write(dir.join("a.yaml"), format!("name: A{round}\n")).unwrap();
        });
        assert!(restless.unreadable.unwrap().starts_with("keeps changing"));
    }
}
