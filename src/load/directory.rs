//! The whole stage, from the directory to the desired tenants.

use std::time::Duration;

use super::Loaded;
use crate::config::Config;

/// How far apart two readings of the directory are that must agree.
const SETTLE: Duration = Duration::from_millis(100);

/// Reads the tenants directory on a blocking thread until two readings agree, and parses it there.
pub async fn read(config: &Config) -> Loaded {
    let read = async {
        let dir = config.tenants_dir.clone();
        let read = move || super::stable_snapshot(&dir, SETTLE, &mut |time| std::thread::sleep(time));
        let mut snapshot = tokio::task::spawn_blocking(read).await?;
        if let Some(rules) = &config.git {
            snapshot = super::as_committed(snapshot, rules).await;
        }
        let config = config.clone();
        tokio::task::spawn_blocking(move || super::parse(&snapshot, &config)).await
    };
    read.await.unwrap_or_else(|error| Loaded {
        desired: crate::model::Desired::unreadable(format!(
            "{} could not be read, because of a bug in tenantd ({error})",
            config.tenants_dir.display()
        )),
        problems: Vec::new(),
    })
}
