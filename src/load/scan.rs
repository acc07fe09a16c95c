//! Reads a directory once, with the folders below it: regular files, and links that stay inside, only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File as StdFile;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use super::file::{Content, File, Stamp};
use super::io_error::meaning;
use super::links::{Target, failure, from_root, not_regular, open, open_beneath};
use super::mentions::{self, Budget};
use super::names::judge;
use super::unusual::{DANGLING, NOT_FOLLOWED};
use crate::model::{IgnoredFile, Mentions};
use crate::yaml::Limits;

/// What all files of a directory may have together: 10,000 tenants of 25 KiB each.
const MAX_TOTAL_BYTES: usize = 256 << 20;

/// How deep folders may lie in each other, and how many entries there may be in all.
const MAX_DEPTH: usize = 16;

const MAX_ENTRIES: usize = 200_000;

pub(super) struct Scan {
    pub identity: (u64, u64),
    pub files: BTreeMap<String, File>,
    pub ignored: Vec<IgnoredFile>,
}

/// Reads the directory and every folder below it.
///
/// It is opened once, so that one that is replaced meanwhile is read whole or not at all. A link whose target begins
/// with another link of the directory (`acme.yaml → ..data/acme.yaml`, as Kubernetes mounts a ConfigMap) is read
/// through a handle on that one, opened once, so that a swap of `..data` gives the old files or the new ones.
///
/// Hidden folders hold no tenant files; what they hold is listed as ignored, so that a file that was put there is not
/// taken for a removed one, unless it is the very file that a link outside of them shows as a tenant's. The stores of
/// version control and `lost+found` are not checked.
///
/// A regular file that an earlier reading had, and that has the same stamp, is not read again.
///
/// # Errors
/// The directory or a folder in it cannot be opened or listed, folders lie too deep, or there is too much of it; the
/// text completes "the directory …".
pub(super) fn scan(dir: &Path, earlier: Option<&BTreeMap<String, File>>) -> Result<Scan, String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, dir, flags, Mode::empty()).map_err(|error| match error {
        Errno::NOENT => "does not exist".to_owned(),
        Errno::NOTDIR => "is not a directory".to_owned(),
        Errno::ACCESS => "may not be read by tenantd (permission denied)".to_owned(),
        error => format!("cannot be opened ({})", meaning(error)),
    })?;
    let stat = fstat(&root).map_err(|error| unlisted("", error))?;
    let identity = identity_of(&stat);
    let top = root.try_clone().map_err(|error| format!("cannot be opened ({error})"))?;
    let mut scanner = Scanner {
        dir,
        earlier,
        root,
        pinned: HashMap::new(),
        bytes: 0,
        entries: 0,
        budget: Budget::default(),
        visited: HashSet::from([identity]),
        links: Vec::new(),
        files: BTreeMap::new(),
        ignored: Vec::new(),
        hidden: HashMap::new(),
    };
    scanner.folder(&Folder { fd: top, path: String::new(), linked: false, depth: 0 })?;
    // After all real folders, so that a link to one of them is known as such, whatever its name.
    while let Some(link) = scanner.links.pop() {
        scanner.linked_folder(link)?;
    }
    let Scanner { files, mut ignored, hidden, .. } = scanner;
    let shown: HashSet<u64> = files.values().map(|file| file.inode).collect();
    ignored.retain(|entry| hidden.get(&entry.file).is_none_or(|inode| !shown.contains(inode)));
    Ok(Scan { identity, files, ignored })
}

/// A folder that is being read: the directory itself, or one below it.
struct Folder {
    fd: OwnedFd,
    /// Within the tenants directory; empty for itself.
    path: String,
    /// Reached through a link, so that its path is not where it lies.
    linked: bool,
    depth: usize,
}

impl Folder {
    fn join(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) }
    }

    fn is_hidden(&self) -> bool {
        self.path.split('/').any(|part| part.starts_with('.'))
    }
}

/// A link to a folder, to be checked later.
struct Link {
    from: Folder,
    name: String,
}

fn unlisted(path: &str, error: Errno) -> String {
    let why = if error == Errno::ACCESS {
        "may not be read by tenantd (permission denied)".to_owned()
    } else {
        format!("cannot be listed ({})", meaning(error))
    };
    if path.is_empty() { why } else { format!("was not fully read: its folder {path} {why}") }
}

fn identity_of(stat: &Stat) -> (u64, u64) {
    (widen(stat.st_dev), widen(stat.st_ino))
}

/// Folders that hold no files of people: what version control keeps, which has every deleted file's text for ever, and
/// what a file system has.
fn is_skipped(name: &str) -> bool {
    matches!(name, ".git" | ".hg" | ".svn" | ".jj" | ".bzr" | "lost+found")
}

/// The link that Kubernetes swaps, and the one that takes its place. What they lead to is read as what it is.
fn is_swapped(name: &str) -> bool {
    matches!(name, "..data" | "..data_tmp")
}

// The widths of these fields differ between platforms.
fn widen(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or_default()
}

struct Scanner<'d> {
    dir: &'d Path,
    /// The files of an earlier reading.
    earlier: Option<&'d BTreeMap<String, File>>,
    root: OwnedFd,
    /// Handles on the links that other links go through, by name.
    pinned: HashMap<PathBuf, Result<OwnedFd, Errno>>,
    bytes: usize,
    entries: usize,
    /// What may be read of files that are no tenant's.
    budget: Budget,
    /// Folders that were read, by device and inode.
    visited: HashSet<(u64, u64)>,
    links: Vec<Link>,
    files: BTreeMap<String, File>,
    ignored: Vec<IgnoredFile>,
    /// The inodes of regular files in hidden folders, by their path.
    hidden: HashMap<String, u64>,
}

impl Scanner<'_> {
    fn folder(&mut self, folder: &Folder) -> Result<(), String> {
        if folder.depth > MAX_DEPTH {
            return Err(format!("was not fully read: {} is more than {MAX_DEPTH} folders deep", folder.path));
        }
        let mut entries = Vec::new();
        for entry in Dir::read_from(&folder.fd).map_err(|error| unlisted(&folder.path, error))? {
            let entry = entry.map_err(|error| unlisted(&folder.path, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                entries.push(name.to_owned());
            }
        }
        self.entries += entries.len();
        if self.entries > MAX_ENTRIES {
            return Err(format!("holds more than {MAX_ENTRIES} files and folders"));
        }
        if entries.is_empty() && folder.depth > 0 && !folder.is_hidden() {
            let why = "is an empty folder, so a mount may be missing";
            self.ignore(folder.path.clone(), "an empty folder", opaque(why));
        }
        entries.sort();
        for entry in entries {
            self.entry(folder, &entry)?;
            if self.bytes > MAX_TOTAL_BYTES {
                return Err(format!("holds more than {} MiB of tenant files", MAX_TOTAL_BYTES >> 20));
            }
        }
        Ok(())
    }

    fn ignore(&mut self, file: String, reason: &'static str, traces: Mentions) {
        self.ignored.push(IgnoredFile { file, reason, traces });
    }

    fn entry(&mut self, folder: &Folder, raw: &[u8]) -> Result<(), String> {
        let name = String::from_utf8_lossy(raw).into_owned();
        let path = folder.join(&name);
        if judge(&path).is_ok() {
            let file = self.file(folder, &name);
            self.files.insert(path, file);
            return Ok(());
        }
        if is_skipped(&name) {
            return Ok(());
        }
        let at = Path::new(OsStr::from_bytes(raw));
        let (kind, inode) = match statat(&folder.fd, at, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => (FileType::from_raw_mode(stat.st_mode), widen(stat.st_ino)),
            // It was deleted meanwhile.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(unlisted(&path, error)),
        };
        match kind {
            FileType::Directory => self.subfolder(folder, at, path),
            FileType::Symlink if is_swapped(&name) => Ok(()),
            FileType::Symlink => {
                self.ignored_link(folder, at, name, path);
                Ok(())
            }
            FileType::RegularFile => {
                if folder.is_hidden() {
                    self.hidden.insert(path.clone(), inode);
                }
                let reason = judge(&path).err().unwrap_or_default();
                let file = open(folder.fd.as_fd(), at, OFlags::NOFOLLOW).ok().map(StdFile::from);
                let mut traces = mentions::of_file(&name, file, &mut self.budget);
                // A hidden file that cannot be looked into is probably a tool's own, so it holds no removal.
                if path.split('/').any(|part| part.starts_with('.')) {
                    traces.opaque = None;
                }
                self.ignore(path, reason, traces);
                Ok(())
            }
            _ => {
                self.ignore(path, "not a regular file", Mentions::default());
                Ok(())
            }
        }
    }

    fn subfolder(&mut self, folder: &Folder, at: &Path, path: String) -> Result<(), String> {
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        if at.to_str().is_none() {
            return Err(format!("was not fully read: the name of its folder {path} is not UTF-8"));
        }
        let opened = open(folder.fd.as_fd(), at, OFlags::NOFOLLOW | OFlags::DIRECTORY)
            .and_then(|fd| Ok((identity_of(&fstat(&fd)?), fd)));
        match opened {
            Ok((identity, fd)) => {
                // A link elsewhere may show a hidden folder's files as tenants'.
                if !hidden {
                    self.visited.insert(identity);
                }
                self.folder(&Folder { fd, path, linked: folder.linked, depth: folder.depth + 1 })
            }
            // It is probably a tool's own, but a tenant's file could be in it.
            Err(_) if hidden => {
                self.ignore(path, "a hidden folder", opaque("is a folder that cannot be read"));
                Ok(())
            }
            Err(error) => Err(unlisted(&path, error)),
        }
    }

    /// A link that has no tenant file's name.
    fn ignored_link(&mut self, folder: &Folder, at: &Path, name: String, path: String) {
        let hidden = path.split('/').any(|part| part.starts_with('.'));
        match statat(&folder.fd, at, AtFlags::empty()) {
            _ if hidden => self.ignore(path, "a dot file", Mentions::default()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                match folder.fd.try_clone() {
                    Ok(fd) => {
                        let from = Folder { fd, path: folder.path.clone(), ..*folder };
                        self.links.push(Link { from, name });
                    }
                    Err(_) => self.ignore(path, NOT_FOLLOWED, Mentions::default()),
                }
            }
            Ok(_) => {
                let reason = judge(&path).err().unwrap_or_default();
                let file = self.follow(folder, &name).ok().map(StdFile::from);
                // One that leads outside is no file of this directory.
                let traces = file.map_or_else(Mentions::default, |file| {
                    mentions::of_file(&name, Some(file), &mut self.budget)
                });
                self.ignore(path, reason, traces);
            }
            Err(_) => self.ignore(path, DANGLING, Mentions::default()),
        }
    }

    /// A folder behind a link: read if it lies inside and was not read before.
    fn linked_folder(&mut self, link: Link) -> Result<(), String> {
        let Link { from, name } = link;
        let path = from.join(&name);
        let opened = self
            .target(&from, &name)
            .and_then(|Target { base, path, shown: _ }| {
                open_beneath(base, &path, OFlags::DIRECTORY).map_err(meaning)
            })
            .and_then(|fd| Ok((identity_of(&fstat(&fd).map_err(meaning)?), fd)));
        match opened {
            Ok((identity, fd)) if self.visited.insert(identity) => {
                self.folder(&Folder { fd, path, linked: true, depth: from.depth + 1 })
            }
            Ok(_) => {
                self.ignore(path, "a link to a folder that is read anyway", Mentions::default());
                Ok(())
            }
            Err(_) => {
                self.ignore(path, NOT_FOLLOWED, Mentions::default());
                Ok(())
            }
        }
    }

    fn file(&mut self, folder: &Folder, name: &str) -> File {
        let unreadable = |inode, reason: &str| File {
            inode,
            content: Content::Unreadable(reason.to_owned()),
            stamp: None,
        };
        let stat = match statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return unreadable(0, "disappeared while the directory was read"),
            Err(error) => return unreadable(0, &format!("cannot be examined ({})", meaning(error))),
        };
        let inode = widen(stat.st_ino);
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && let Some(known) = self.earlier.and_then(|files| files.get(&folder.join(name)))
            && known.stamp == Some(Stamp::of(&stat))
        {
            if let Content::Bytes(bytes) = &known.content {
                self.bytes += bytes.len();
            }
            return known.clone();
        }
        let opened = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => open(folder.fd.as_fd(), Path::new(name), OFlags::NOFOLLOW),
            FileType::Symlink => match self.follow(folder, name) {
                Ok(fd) => Ok(fd),
                Err(reason) => return unreadable(inode, &reason),
            },
            other => return unreadable(inode, &not_regular(other)),
        };
        match opened.and_then(|fd| Ok((fstat(&fd)?, fd))) {
            Ok((stat, fd)) => self.contents(&stat, fd),
            Err(Errno::ACCESS) => unreadable(inode, "may not be read by tenantd (permission denied)"),
            Err(Errno::NOENT) => unreadable(inode, "disappeared while the directory was read"),
            Err(error) => unreadable(inode, &format!("cannot be opened ({})", meaning(error))),
        }
    }

    fn contents(&mut self, stat: &Stat, fd: OwnedFd) -> File {
        let inode = widen(stat.st_ino);
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::RegularFile {
            return File { inode, content: Content::Unreadable(not_regular(kind)), stamp: None };
        }
        let stamp = Stamp::of(stat).if_settled(SystemTime::now());
        let limit = Limits::TENANT.bytes;
        let mut bytes = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0).min(limit) + 1);
        // One byte more than allowed shows that a file is too large.
        let content = match StdFile::from(fd).take(limit as u64 + 1).read_to_end(&mut bytes) {
            Ok(read) if read > limit => Content::Unreadable(format!("has more than {limit} bytes (1 MiB)")),
            Ok(read) => {
                self.bytes += read;
                Content::Bytes(bytes.into())
            }
            Err(error) => Content::Unreadable(format!("cannot be read ({error})")),
        };
        // A read error may pass without a change of the file.
        let stamp = stamp.filter(|_| matches!(content, Content::Bytes(_)));
        File { inode, content, stamp }
    }

    /// Opens what a link points to, if that is a regular file inside the directory.
    fn follow(&mut self, folder: &Folder, name: &str) -> Result<OwnedFd, String> {
        let Target { base, path, shown } = self.target(folder, name)?;
        let failed = |error| failure(&shown, error);
        // What is not a regular file is not even opened: a FIFO would wake its writer.
        let stat = statat(base, &path, AtFlags::empty()).map_err(failed)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => open_beneath(base, &path, OFlags::empty()).map_err(failed),
            other => Err(not_regular(other)),
        }
    }

    fn target<'s>(&'s mut self, folder: &'s Folder, name: &str) -> Result<Target<'s>, String> {
        let shown = readlinkat(&folder.fd, name, Vec::new())
            .map_err(|error| format!("is a link that cannot be read ({})", meaning(error)))?;
        let shown = PathBuf::from(OsStr::from_bytes(shown.to_bytes()));
        let outside = || failure(&shown, Errno::XDEV);
        let inside = if shown.is_absolute() {
            let real = self.dir.canonicalize().map_err(|_| outside())?;
            shown.strip_prefix(real).map_err(|_| outside())?.to_owned()
        } else if folder.linked {
            // Where it lies is known by its handle alone.
            return Ok(Target { base: folder.fd.as_fd(), path: shown.clone(), shown });
        } else {
            from_root(&folder.path, &shown).ok_or_else(outside)?
        };
        let mut parts = inside.components();
        let first = parts.next();
        let rest = parts.as_path().to_owned();
        match first {
            Some(Component::Normal(first)) if !rest.as_os_str().is_empty() => {
                let base = self.pin(Path::new(first)).map_err(|error| failure(&shown, error))?;
                Ok(Target { base, path: rest, shown })
            }
            _ => Ok(Target { base: self.root.as_fd(), path: inside, shown }),
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

fn opaque(why: &str) -> Mentions {
    Mentions { opaque: Some(why.to_owned()), ..Mentions::default() }
}
