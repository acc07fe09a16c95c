//! What wakes the daemon: changes of the tenants directory, as hints. Every pass reads everything anyway.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Config, Event, PollWatcher, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// How often a directory is checked that sends no events.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// A watcher of the tenants directory and of what leads to it.
pub struct Watch {
    dir: PathBuf,
    hints: mpsc::Receiver<()>,
    sender: mpsc::Sender<()>,
    watcher: Option<Box<dyn Watcher + Send>>,
    /// The directory that was watched last.
    watched: Option<Directory>,
    polling: bool,
}

/// A directory itself, whatever its name leads to. Another path, device or inode means that it was replaced, or that
/// something was mounted or unmounted there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Directory {
    real: PathBuf,
    device: u64,
    inode: u64,
}

impl Directory {
    fn at(path: &Path) -> Option<Self> {
        let real = path.canonicalize().ok()?;
        let found = real.metadata().ok()?;
        Some(Self { real, device: found.dev(), inode: found.ino() })
    }
}

impl Watch {
    pub fn new(dir: &Path) -> Self {
        // One hint that waits is as good as many.
        let (sender, hints) = mpsc::channel(1);
        let mut watch =
            Self { dir: dir.to_owned(), hints, sender, watcher: None, watched: None, polling: false };
        watch.renew();
        watch
    }

    /// Watches again if the directory is another one than before, or none was watched. Called before the directory is
    /// read, so that what changes after the reading is reported.
    pub fn renew(&mut self) {
        let found = Directory::at(&self.dir);
        if self.watcher.is_some() && found == self.watched {
            return;
        }
        self.watched = found;
        self.watcher = self.start();
    }

    fn start(&mut self) -> Option<Box<dyn Watcher + Send>> {
        if !self.polling && self.sends_no_events() {
            info!(
                dir = %self.dir.display(),
                interval_s = POLL_INTERVAL.as_secs(),
                "the file system of the tenants directory sends no events, so tenantd polls the directory"
            );
            self.polling = true;
        }
        if !self.polling {
            let sender = self.sender.clone();
            let places: Vec<PathBuf> = [Some(&self.dir), self.watched.as_ref().map(|watched| &watched.real)]
                .into_iter()
                .flatten()
                .cloned()
                .collect();
            let made =
                RecommendedWatcher::new(move |event| hint(&sender, &event, &places), Config::default());
            match made.and_then(|mut watcher| self.watch_all(&mut watcher).map(|()| watcher)) {
                Ok(watcher) => return Some(Box::new(watcher)),
                Err(error) => {
                    warn!(
                        dir = %self.dir.display(),
                        %error,
                        "the tenants directory cannot be watched, so tenantd polls it. If a limit was reached, \
                         raise fs.inotify.max_user_watches"
                    );
                    self.polling = true;
                }
            }
        }
        let sender = self.sender.clone();
        let config = Config::default().with_poll_interval(POLL_INTERVAL).with_compare_contents(true);
        let made = PollWatcher::new(move |event| hint(&sender, &event, &[]), config);
        match made
            .and_then(|mut watcher| watcher.watch(&self.dir, RecursiveMode::Recursive).map(|()| watcher))
        {
            Ok(watcher) => Some(Box::new(watcher)),
            // Not there at all: the interval brings the next look.
            Err(_) => None,
        }
    }

    /// The directory with its folders, its parent (it may be replaced), and what a symbolic link leads to.
    fn watch_all(&self, watcher: &mut RecommendedWatcher) -> notify::Result<()> {
        let parent = self.dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if self.watched.is_none()
            && let Some(parent) = parent
        {
            // While it is away, it is its parent that tells when it is back.
            return watcher.watch(parent, RecursiveMode::NonRecursive);
        }
        watcher.watch(&self.dir, RecursiveMode::Recursive)?;
        if let Some(parent) = parent {
            // Seeing it replaced at once is a comfort; the interval sees it too.
            let _ = watcher.watch(parent, RecursiveMode::NonRecursive);
        }
        if let Some(real) =
            self.watched.as_ref().map(|watched| &watched.real).filter(|real| **real != self.dir)
        {
            let _ = watcher.watch(real, RecursiveMode::Recursive);
            if let Some(parent) = real.parent() {
                let _ = watcher.watch(parent, RecursiveMode::NonRecursive);
            }
        }
        Ok(())
    }

    /// Whether changes are told by the file system itself.
    pub fn sends_events(&self) -> bool {
        self.watcher.is_some() && !self.polling
    }

    fn sends_no_events(&self) -> bool {
        // The type is a signed number on some machines and has 32 bits on all.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        rustix::fs::statfs(&self.dir).is_ok_and(|stat| is_silent(stat.f_type as u32))
    }

    /// Waits for a change and leaves it to [`Self::changed`]. May be dropped at any point.
    pub async fn begins_to_change(&mut self) {
        match self.hints.recv().await {
            Some(()) => drop(self.sender.try_send(())),
            None => std::future::pending().await,
        }
    }

    /// Waits for a change, then until the directory was quiet for `quiet`, but no longer than `most` in all.
    ///
    /// The bound is measured from the first event: a directory that never rests is checked all the same.
    pub async fn changed(&mut self, quiet: Duration, most: Duration) {
        if self.hints.recv().await.is_none() {
            return std::future::pending().await;
        }
        let latest = Instant::now() + most;
        loop {
            let until = (Instant::now() + quiet).min(latest);
            tokio::select! {
                hint = self.hints.recv() => {
                    if hint.is_none() || Instant::now() >= latest {
                        return;
                    }
                }
                () = sleep_until(until) => return,
            }
        }
    }
}

/// Whether a file system, by its magic number of statfs(2), does not tell of changes that other machines make: those
/// of networks, clusters, virtual machines, and FUSE, behind which anything may stand.
fn is_silent(magic: u32) -> bool {
    const SILENT: [(u32, &str); 18] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x6573_5546, "FUSE, virtiofs"),
        (0x0102_1997, "9P"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x6b41_4653, "kAFS"),
        (0x7375_7245, "Coda"),
        (0x564c, "NCP"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x1983_0326, "BeeGFS"),
        (0x7461_636f, "OCFS2"),
        (0x0116_1970, "GFS2"),
        (0x786f_4256, "VirtualBox"),
        (0xbacb_acbc, "VMware"),
    ];
    SILENT.iter().any(|(silent, _)| *silent == magic)
}

/// Passes on what concerns the directory or something in it; no places means that everything does.
fn hint(sender: &mpsc::Sender<()>, event: &notify::Result<Event>, places: &[PathBuf]) {
    // Reading the directory is no change of it, and its parent has other children. An overflow or an error may hide
    // a change.
    let matters = event.as_ref().map_or(true, |event| {
        // git writes much in its own folder before it touches a file.
        let of_git = |path: &Path| path.iter().any(|part| part == ".git");
        let here = |path: &PathBuf| {
            places.iter().any(|place| path.strip_prefix(place).is_ok_and(|below| !of_git(below)))
        };
        !event.kind.is_access()
            && (places.is_empty() || event.paths.is_empty() || event.paths.iter().any(here))
    });
    if matters {
        let _ = sender.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet_watch() -> Watch {
        let (sender, hints) = mpsc::channel(1);
        Watch { dir: PathBuf::new(), hints, sender, watcher: None, watched: None, polling: true }
    }

    #[test]
    fn file_systems_of_networks_are_polled_and_local_ones_are_watched() {
        for silent in [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997] {
            assert!(is_silent(silent), "{silent:#x}");
        }
        // ext4, XFS, Btrfs, tmpfs, ZFS, overlay.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1, 0x794c_7630] {
            assert!(!is_silent(local), "{local:#x}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_restless_directory_is_not_waited_for_longer_than_the_bound() {
        let mut watch = quiet_watch();
        let sender = watch.sender.clone();
        tokio::spawn(async move {
            loop {
                let _ = sender.try_send(());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        let start = Instant::now();
        watch.changed(Duration::from_millis(500), Duration::from_secs(10)).await;
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(10) && waited < Duration::from_secs(11), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_was_noticed_is_still_waited_for() {
        let mut watch = quiet_watch();
        watch.sender.try_send(()).unwrap();
        watch.begins_to_change().await;
        let start = Instant::now();
        watch.changed(Duration::from_millis(500), Duration::from_secs(10)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn one_change_is_believed_after_the_quiet_time() {
        let mut watch = quiet_watch();
        watch.sender.try_send(()).unwrap();
        let start = Instant::now();
        watch.changed(Duration::from_millis(500), Duration::from_secs(10)).await;
        assert_eq!(start.elapsed(), Duration::from_millis(500));
    }
}
