//! Errors of the file system, for people.

use rustix::io::Errno;

pub(super) fn meaning(error: Errno) -> String {
    std::io::Error::from(error).to_string()
}
