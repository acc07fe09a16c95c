//! Who holds the writer's lease, as it is written down for anyone who waits for it.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

const DAEMON: &str = "tenantd on ";

/// This process, as a daemon.
pub fn daemon() -> String {
    format!("{DAEMON}{}, process {}", machine(), std::process::id())
}

/// This process, as a command, which answers no pass requests.
pub fn command() -> String {
    format!("a tenantd command on {}, process {}", machine(), std::process::id())
}

/// Which process on which machine, where a daemon holds the lease.
pub fn process_of_daemon(holder: &str) -> Option<&str> {
    holder.strip_prefix(DAEMON)
}

/// Whether the holder is a daemon of this machine and its process is not to be seen here.
pub(super) fn is_missing_here(holder: &str) -> bool {
    let pid = process_of_daemon(holder)
        .and_then(|process| process.strip_prefix(&format!("{}, process ", machine())))
        .and_then(|pid| pid.parse().ok())
        .and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
