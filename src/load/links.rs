//! Where links lead, and how anything is opened: never outside the tenants directory.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, openat};
use rustix::io::Errno;

use super::io_error::meaning;

/// Where a link leads: a handle, and a path that must not leave it.
pub(super) struct Target<'s> {
    pub base: BorrowedFd<'s>,
    pub path: PathBuf,
    /// As it is written in the link.
    pub shown: PathBuf,
}

/// A relative target as seen from the tenants directory. `folder` has no links in it, so that `..` leaves it as it
/// reads. `None` where it leads outside.
pub(super) fn from_root(folder: &str, target: &Path) -> Option<PathBuf> {
    let mut above: Vec<&OsStr> = Path::new(folder).iter().collect();
    let mut rest = target.components().peekable();
    while let Some(part) = rest.peek() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                above.pop()?;
            }
            _ => break,
        }
        rest.next();
    }
    let path: PathBuf = above.into_iter().chain(rest.map(|part| part.as_os_str())).collect();
    Some(if path.as_os_str().is_empty() { PathBuf::from(".") } else { path })
}

pub(super) fn failure(target: &Path, error: Errno) -> String {
    let target = target.display();
    match error {
        Errno::NOENT => format!("is a link to {target}, which does not exist"),
        Errno::XDEV => format!("is a link that leaves the tenants directory (to {target})"),
        error => format!("is a link to {target} that cannot be followed ({})", meaning(error)),
    }
}

pub(super) fn not_regular(kind: FileType) -> String {
    let kind = match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    format!("is {kind}")
}

pub(super) fn open(base: BorrowedFd<'_>, path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    openat(base, path, flags, Mode::empty())
}

/// Opens a path that must not leave `base`, by links or by `..`.
#[cfg(target_os = "linux")]
pub(super) fn open_beneath(base: BorrowedFd<'_>, path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: a rename went on meanwhile and the kernel could not tell.
    for _ in 0..16 {
        match openat2(base, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}

/// Without `openat2` only links that name a file beside them are followed.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_beneath(base: BorrowedFd<'_>, path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => open(base, path, more | OFlags::NOFOLLOW),
        _ => Err(Errno::XDEV),
    }
}
