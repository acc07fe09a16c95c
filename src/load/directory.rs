//! The whole stage, from the directory to the desired tenants.

use std::time::Duration;

use super::{Cache, Loaded, Snapshot};
use crate::config::Config;

/// How far apart two readings of the directory are that must agree.
const SETTLE: Duration = Duration::from_millis(100);

/// The same where the directory was watched, and no event came for `daemon.quiet`.
const SETTLE_WATCHED: Duration = Duration::from_millis(10);

/// Reads the tenants directory on a blocking thread until two readings agree, and parses it there.
pub async fn read(config: &Config) -> Loaded {
    read_after(config, None, false).await
}

/// As [`read`], and parses only files that are not as in the last reading, which the cache holds. If the directory was
/// watched since then, files whose stamps did not change are not read either.
pub async fn read_changes(config: &Config, cache: &mut Cache, was_watched: bool) -> Loaded {
    read_after(config, Some(cache), was_watched).await
}

async fn read_after(config: &Config, cache: Option<&mut Cache>, was_watched: bool) -> Loaded {
    let read = async {
        let dir = config.tenants_dir.clone();
        let earlier = cache.as_deref().filter(|_| was_watched).and_then(|cache| cache.snapshot.clone());
        let read = move || -> Snapshot {
            let mut sleep = |time| std::thread::sleep(time);
            match &earlier {
                Some(earlier) => super::stable_snapshot_after(earlier, &dir, SETTLE_WATCHED, &mut sleep),
                None => super::stable_snapshot(&dir, SETTLE, &mut sleep),
            }
        };
        let mut snapshot = tokio::task::spawn_blocking(read).await?;
        if let Some(rules) = &config.git {
            snapshot = super::as_committed(snapshot, rules).await;
        }
        let config = config.clone();
        let Some(cache) = cache else {
            return tokio::task::spawn_blocking(move || super::parse(&snapshot, &config)).await;
        };
        let mut known = std::mem::take(cache);
        let (loaded, known) = tokio::task::spawn_blocking(move || {
            let loaded = super::parse_after(&snapshot, &config, &mut known);
            (loaded, known)
        })
        .await?;
        *cache = known;
        Ok::<_, tokio::task::JoinError>(loaded)
    };
    read.await.unwrap_or_else(|error| Loaded {
        desired: crate::model::Desired::unreadable(format!(
            "{} could not be read, because of a bug in tenantd ({error})",
            config.tenants_dir.display()
        )),
        problems: Vec::new(),
    })
}
