//! A file of the tenants directory, as it was read.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::Stat;

#[derive(Clone, Debug)]
pub struct File {
    /// 0 where there is no disk.
    pub inode: u64,
    pub content: Content,
    /// What the file system said of the content that was read; `None` where that does not prove that it is the same.
    pub(super) stamp: Option<Stamp>,
}

/// Two readings are the same if they read the same content of the same file, whatever their times.
impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        let Self { inode, content, stamp: _ } = self;
        *inode == other.inode && *content == other.content
    }
}

impl Eq for File {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Arc<[u8]>),
    /// It is there and cannot be read; completes "the file …".
    Unreadable(String),
}

/// What tells one state of a file from another without reading it. The change time cannot be set by a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A file that changed so shortly before it was read may have changed again within the same tick of the file system's
/// clock: FAT counts in steps of two seconds.
const TICK: Duration = Duration::from_secs(3);

impl Stamp {
    // The widths of these fields differ between platforms.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap, clippy::useless_conversion)]
    pub fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as i64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// The stamp, if the file had not changed for some time when it was read.
    pub fn if_settled(self, read_at: SystemTime) -> Option<Self> {
        let settled = |(seconds, _): (i64, i64)| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?);
            Some(read_at.duration_since(at).ok()? > TICK)
        };
        let is_settled = settled(self.changed) == Some(true) && settled(self.modified) == Some(true);
        is_settled.then_some(self)
    }
}
