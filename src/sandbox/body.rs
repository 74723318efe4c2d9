//! Bodies that do not arrive as they should.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http_body::Frame;
use tokio::time::Sleep;

/// What comes next.
pub(super) enum Step {
    Send(Bytes),
    Wait(Pin<Box<Sleep>>),
    /// The connection is closed: hyper does so when a body fails.
    Break,
}

impl Step {
    pub(super) fn wait(span: Duration) -> Step {
        Step::Wait(Box::pin(tokio::time::sleep(span)))
    }
}

/// One step after the other.
pub(super) struct Paced(VecDeque<Step>);

impl Paced {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>) -> Paced {
        Paced(steps.into_iter().collect())
    }
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(Step::Wait(sleep)) = self.0.front_mut() {
                std::task::ready!(sleep.as_mut().poll(context));
                self.0.pop_front();
                continue;
            }
            return Poll::Ready(match self.0.pop_front() {
                Some(Step::Send(bytes)) if bytes.is_empty() => continue,
                Some(Step::Send(bytes)) => Some(Ok(Frame::data(bytes))),
                Some(_) => Some(Err(io::ErrorKind::ConnectionReset.into())),
                None => None,
            });
        }
    }
}
