//! The signed-in sessions of one server.
//!
//! A pool crate (`deadpool`, `bb8`) creates and checks connections. Here their number is fixed, nothing is checked, and
//! what matters is that a signed-in session is used before another one signs in.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::cookies::Cookies;

/// One session, signed in or not. PHP serves one request of a session at a time, so its holder sends one at a time.
#[derive(Debug)]
pub(super) struct Session {
    /// Its number in the log, from 1.
    pub number: usize,
    pub cookies: Cookies,
    pub signed_in: bool,
    /// How many requests in a row timed out.
    pub timeouts: u32,
}

impl Session {
    /// Forgets the sign-in. The next one starts without cookies, because a session that FusionPBX once refused for its
    /// domain's address list stays refused.
    pub fn forget(&mut self) {
        self.cookies.clear();
        self.signed_in = false;
        self.timeouts = 0;
    }
}

/// The sessions of one server. Each signs in when it is first needed and stays signed in.
#[derive(Debug)]
pub(super) struct Pool {
    free: Mutex<Vec<Session>>,
    permits: Semaphore,
    size: usize,
}

impl Pool {
    pub fn new(size: usize) -> Self {
        let size = size.max(1);
        let free = (1..=size)
            .rev()
            .map(|number| Session { number, cookies: Cookies::default(), signed_in: false, timeouts: 0 })
            .collect();
        Self { free: Mutex::new(free), permits: Semaphore::new(size), size }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Takes a free session, preferably a signed-in one; waits while all are in use.
    pub async fn take(&self) -> Held<'_> {
        let permit = self.permits.acquire().await.expect("the pool is never closed");
        let session = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Held { session: session.expect("there are as many sessions as permits"), pool: self, _permit: permit }
    }
}

/// A session in use. Dropping it gives it back, also in the middle of a request.
#[derive(Debug)]
pub(super) struct Held<'a> {
    pub session: Session,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let empty = Session {
            number: self.session.number,
            cookies: Cookies::default(),
            signed_in: false,
            timeouts: 0,
        };
        let session = std::mem::replace(&mut self.session, empty);
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        // `take` takes the last one first.
        let at = if session.signed_in { free.len() } else { 0 };
        free.insert(at, session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signed_in_session_is_used_again_before_another_is_opened() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            let mut held = pool.take().await;
            assert_eq!(held.session.number, 1);
            held.session.signed_in = true;
        }
        let first = pool.take().await;
        let second = pool.take().await;
        assert_eq!((first.session.number, second.session.number), (1, 2));
    }

    #[tokio::test]
    async fn no_more_sessions_than_configured_are_in_use() {
        let pool = Pool::new(2);
        let _one = pool.take().await;
        let two = pool.take().await;
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(10), pool.take());
        assert!(waiting.await.is_err());
        drop(two);
        pool.take().await;
    }
}
