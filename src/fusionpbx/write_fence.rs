//! The permission to change something, checked right before a changing request is sent.
//!
//! A form is read before it is posted, and either may take long. A process that was paused in between, and lost its lease
//! meanwhile, must not post the form any more. No crate knows of this lease; the fence is a body of a request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

type Permission = Arc<dyn Fn() -> bool + Send + Sync>;

tokio::task_local! {
    static PERMISSION: Permission;
}

/// Runs `work`; its changing requests are sent only while `may_write` returns `true`.
pub async fn permitted_while<W: Future>(
    may_write: impl Fn() -> bool + Send + Sync + 'static,
    work: W,
) -> W::Output {
    PERMISSION.scope(Arc::new(may_write), work).await
}

/// The body of a changing request. It checks the permission once more when the connection is about to write it.
///
/// Between the decision to send and the first byte, a process may be paused for so long that another one takes over. The
/// server does not carry out a request without its body: it waits for the rest and sees a closed connection.
pub(super) struct FencedBody {
    body: Option<Bytes>,
    length: u64,
    permission: Option<Permission>,
}

impl FencedBody {
    pub(super) fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Self { body: Some(body), length, permission: PERMISSION.try_with(Arc::clone).ok() }
    }
}

impl Body for FencedBody {
    type Data = Bytes;
    type Error = Superseded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Superseded>>> {
        if self.body.is_some() && self.permission.as_ref().is_some_and(|may_write| !may_write()) {
            return Poll::Ready(Some(Err(Superseded)));
        }
        Poll::Ready(self.body.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(if self.body.is_some() { self.length } else { 0 })
    }
}

/// The permission was lost before the request was written.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another tenantd took over")]
pub(super) struct Superseded;

/// Whether a changing request may be sent now. Outside [`permitted_while`] it may.
pub fn is_permitted() -> bool {
    PERMISSION.try_with(|may_write| may_write()).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn next(body: &mut FencedBody) -> Option<Result<Bytes, Superseded>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())),
            Poll::Pending => panic!("the body is complete from the start"),
        }
    }

    #[tokio::test]
    async fn a_request_body_is_not_sent_after_the_lease_is_lost() {
        let holds_lease = Arc::new(AtomicBool::new(true));
        let checked = Arc::clone(&holds_lease);
        permitted_while(move || checked.load(Ordering::SeqCst), async move {
            let (mut first, mut second) = (FencedBody::new("a=1"), FencedBody::new("b=2"));
            assert_eq!(first.size_hint().exact(), Some(3));
            assert_eq!(next(&mut first).unwrap().unwrap(), "a=1");
            assert!(next(&mut first).is_none() && first.is_end_stream());
            holds_lease.store(false, Ordering::SeqCst);
            assert!(next(&mut second).unwrap().is_err(), "although it was made while writing was permitted");
        })
        .await;
        assert!(next(&mut FencedBody::new("c=3")).unwrap().is_ok(), "outside `permitted_while`");
    }
}
