//! Reads a directory once: every entry through one handle, regular files and links that stay inside only.

use std::collections::{BTreeMap, HashMap};
use std::fs::File as StdFile;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::names::judge;
use super::snapshot::{Content, File};
use crate::model::IgnoredFile;
use crate::yaml::Limits;

/// What all files of a directory may have together: 10,000 tenants of 25 KiB each.
const MAX_TOTAL_BYTES: usize = 256 << 20;

pub(super) struct Scan {
    pub identity: (u64, u64),
    pub files: BTreeMap<String, File>,
    pub ignored: Vec<IgnoredFile>,
}

/// Reads the directory.
///
/// It is opened once, so that one that is replaced meanwhile is read whole or not at all. A link whose target begins
/// with another link of the directory (`acme.yaml → ..data/acme.yaml`, as Kubernetes mounts a ConfigMap) is read
/// through a handle on that one, opened once, so that a swap of `..data` gives the old files or the new ones.
///
/// # Errors
/// The directory cannot be opened or listed, or holds more than 256 MiB; the text completes "the directory …".
pub(super) fn scan(dir: &Path) -> Result<Scan, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, dir, flags, Mode::empty()).map_err(|error| match error {
        Errno::NOENT => "does not exist".to_owned(),
        Errno::NOTDIR => "is not a directory".to_owned(),
        Errno::ACCESS => "may not be read by tenantd (permission denied)".to_owned(),
        error => format!("cannot be opened ({})", meaning(error)),
    })?;
    let unlisted = |error: Errno| format!("cannot be listed ({})", meaning(error));
    let stat = fstat(&root).map_err(unlisted)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&root).map_err(unlisted)? {
        let entry = entry.map_err(unlisted)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push(name.to_owned());
        }
    }
    entries.sort();
    let mut scanner = Scanner { dir, root, pinned: HashMap::new(), bytes: 0 };
    let mut files = BTreeMap::new();
    let mut ignored = Vec::new();
    for entry in entries {
        let name = String::from_utf8_lossy(&entry).into_owned();
        match judge(&name) {
            Ok(()) => {
                let file = scanner.file(&name);
                if scanner.bytes > MAX_TOTAL_BYTES {
                    return Err(format!("holds more than {} MiB of tenant files", MAX_TOTAL_BYTES >> 20));
                }
                files.insert(name, file);
            }
            Err(reason) => ignored.push(IgnoredFile { reason: scanner.reason(&entry, reason), file: name }),
        }
    }
    Ok(Scan { identity: (widen(stat.st_dev), widen(stat.st_ino)), files, ignored })
}

// The widths of these fields differ between platforms.
fn widen(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or_default()
}

fn meaning(error: Errno) -> String {
    std::io::Error::from(error).to_string()
}

struct Scanner<'d> {
    dir: &'d Path,
    root: OwnedFd,
    /// Handles on the links that other links go through, by name.
    pinned: HashMap<PathBuf, Result<OwnedFd, Errno>>,
    bytes: usize,
}

impl Scanner<'_> {
    /// Why a name is ignored, where what it is says more than how it is called.
    fn reason(&self, name: &[u8], by_name: &'static str) -> &'static str {
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        match statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                _ if name.starts_with(b".") => by_name,
                FileType::Directory => "a directory",
                FileType::RegularFile | FileType::Symlink => by_name,
                _ => "not a regular file",
            },
            Err(_) => by_name,
        }
    }

    fn file(&mut self, name: &str) -> File {
        let unreadable =
            |inode, reason: &str| File { inode, content: Content::Unreadable(reason.to_owned()) };
        let stat = match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return unreadable(0, "went away while the directory was read"),
            Err(error) => return unreadable(0, &format!("cannot be looked at ({})", meaning(error))),
        };
        let inode = widen(stat.st_ino);
        let opened = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => open(self.root.as_fd(), Path::new(name), OFlags::NOFOLLOW),
            FileType::Symlink => match self.follow(name) {
                Ok(fd) => Ok(fd),
                Err(reason) => return unreadable(inode, &reason),
            },
            other => return unreadable(inode, &not_regular(other)),
        };
        match opened.and_then(|fd| Ok((fstat(&fd)?, fd))) {
            Ok((stat, fd)) => self.contents(&stat, fd),
            Err(Errno::ACCESS) => unreadable(inode, "may not be read by tenantd (permission denied)"),
            Err(Errno::NOENT) => unreadable(inode, "went away while the directory was read"),
            Err(error) => unreadable(inode, &format!("cannot be opened ({})", meaning(error))),
        }
    }

    fn contents(&mut self, stat: &Stat, fd: OwnedFd) -> File {
        let inode = widen(stat.st_ino);
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return File { inode, content: Content::Unreadable(not_regular(kind)) };
        }
        let limit = Limits::TENANT.bytes;
        let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(limit) + 1);
        // One byte more than allowed tells a file that is too large from one that just fits.
        let content = match StdFile::from(fd).take(limit as u64 + 1).read_to_end(&mut bytes) {
            Ok(read) if read > limit => Content::Unreadable(format!("has more than {limit} bytes")),
            Ok(read) => {
                self.bytes += read;
                Content::Bytes(bytes)
            }
            Err(error) => Content::Unreadable(format!("cannot be read ({error})")),
        };
        File { inode, content }
    }

    /// Opens what a link of the directory points to, if that is a regular file inside the directory.
    fn follow(&mut self, name: &str) -> Result<OwnedFd, String> {
        let target = readlinkat(&self.root, name, Vec::new())
            .map_err(|error| format!("is a link that cannot be read ({})", meaning(error)))?;
        let target = PathBuf::from(std::ffi::OsStr::from_bytes(target.to_bytes()));
        let outside = || format!("is a link to {}, outside the tenants directory", target.display());
        let inside = if target.is_absolute() {
            let real = self.dir.canonicalize().map_err(|_| outside())?;
            target.strip_prefix(real).map_err(|_| outside())?.to_owned()
        } else {
            target.clone()
        };
        let failed = |error| match error {
            Errno::NOENT => format!("is a link to {}, which does not exist", target.display()),
            Errno::XDEV => outside(),
            error => {
                format!("is a link to {} that cannot be followed ({})", target.display(), meaning(error))
            }
        };
        let mut parts = inside.components();
        let mut first = parts.next();
        if first == Some(Component::CurDir) {
            first = parts.next();
        }
        let rest = parts.as_path();
        let (base, path) = match first {
            Some(Component::Normal(first)) if !rest.as_os_str().is_empty() => {
                (self.pin(Path::new(first)).map_err(failed)?, rest)
            }
            _ => (self.root.as_fd(), inside.as_path()),
        };
        // What is not a regular file is not even opened: a FIFO would wake its writer.
        let stat = statat(base, path, AtFlags::empty()).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => open_beneath(base, path, OFlags::empty()).map_err(failed),
            other => Err(not_regular(other)),
        }
    }

    fn pin(&mut self, first: &Path) -> Result<BorrowedFd<'_>, Errno> {
        let Self { root, pinned, .. } = self;
        let handle = pinned
            .entry(first.to_owned())
            .or_insert_with(|| open_beneath(root.as_fd(), first, OFlags::DIRECTORY));
        handle.as_ref().map(AsFd::as_fd).map_err(|error| *error)
    }
}

fn not_regular(kind: FileType) -> String {
    let kind = match kind {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    };
    format!("is {kind}, not a regular file")
}

fn open(base: BorrowedFd<'_>, path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    openat(base, path, flags, Mode::empty())
}

/// Opens a path that must not leave `base`, by links or by `..`.
#[cfg(target_os = "linux")]
fn open_beneath(base: BorrowedFd<'_>, path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
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
fn open_beneath(base: BorrowedFd<'_>, path: &Path, more: OFlags) -> Result<OwnedFd, Errno> {
    let mut parts = path.components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => open(base, path, more | OFlags::NOFOLLOW),
        _ => Err(Errno::XDEV),
    }
}
