//! The right to change something, asked for right before a changing request is sent.
//!
//! A form is read before it is posted, and either may wait. A process that was paused in between must not post what it
//! had the right to post when it began.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

type May = Arc<dyn Fn() -> bool + Send + Sync>;

tokio::task_local! {
    static MAY: May;
}

/// Does work whose changing requests are sent only while `may` says so.
pub async fn permitted_while<W: Future>(
    may: impl Fn() -> bool + Send + Sync + 'static,
    work: W,
) -> W::Output {
    MAY.scope(Arc::new(may), work).await
}

/// The body of a changing request: it asks once more when the connection is about to write it.
///
/// Between the decision to send and the first byte a process may be paused for as long as it takes another one to take
/// over. A request whose body does not come is none: the server waits for the rest of it, and gets a closed
/// connection.
pub(super) struct Fenced {
    body: Option<Bytes>,
    length: u64,
    may: Option<May>,
}

impl Fenced {
    pub(super) fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let length = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Self { body: Some(body), length, may: MAY.try_with(Arc::clone).ok() }
    }
}

impl Body for Fenced {
    type Data = Bytes;
    type Error = Superseded;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Superseded>>> {
        if self.body.is_some() && self.may.as_ref().is_some_and(|may| !may()) {
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

/// The right to change something went before the request was written.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another tenantd took over")]
pub(super) struct Superseded;

/// Whether a changing request may be sent now. Where no one said otherwise, it may.
pub fn is_permitted() -> bool {
    MAY.try_with(|may| may()).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn next(body: &mut Fenced) -> Option<Result<Bytes, Superseded>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|frame| frame.map(|frame| frame.into_data().unwrap())),
            Poll::Pending => panic!("it is all there"),
        }
    }

    #[tokio::test]
    async fn a_request_body_is_not_sent_after_the_lease_is_lost() {
        let may = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&may);
        permitted_while(move || asked.load(Ordering::SeqCst), async move {
            let (mut first, mut second) = (Fenced::new("a=1"), Fenced::new("b=2"));
            assert_eq!(first.size_hint().exact(), Some(3));
            assert_eq!(next(&mut first).unwrap().unwrap(), "a=1");
            assert!(next(&mut first).is_none() && first.is_end_stream());
            may.store(false, Ordering::SeqCst);
            assert!(next(&mut second).unwrap().is_err(), "although it was made while there was the right");
        })
        .await;
        assert!(next(&mut Fenced::new("c=3")).unwrap().is_ok(), "where nobody said otherwise");
    }
}
