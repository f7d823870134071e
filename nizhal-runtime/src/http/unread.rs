//! Requests whose body is not read to its end: their connection ends with the answer.
//!
//! The framework ends it by itself where the body has a length. Where it comes in chunks and nobody wants it any more, the framework
//! reads on until its end, which may never come. So the body is held until the answer is sent: then it counts as unread.

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::PayloadError,
    middleware::Next,
    web::Bytes,
};
use futures_util::{Stream, StreamExt, stream};
use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

type SharedPayload = Rc<RefCell<Payload>>;

/// Answers a request; one whose body comes in chunks keeps it until the answer is sent.
pub(super) async fn end_with_answer<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if !request.chunked().unwrap_or(false) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let payload: SharedPayload = Rc::new(RefCell::new(request.take_payload()));
    request.set_payload(Payload::from(shared(payload.clone()).boxed_local()));
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| EitherBody::right(BoxBody::new(HoldingBody { body: body.boxed(), _held: payload }))))
}

fn shared(payload: SharedPayload) -> impl Stream<Item = Result<Bytes, PayloadError>> {
    stream::poll_fn(move |context| payload.borrow_mut().poll_next_unpin(context))
}

/// A body that holds the request's until it is sent.
struct HoldingBody {
    body: BoxBody,
    _held: SharedPayload,
}

impl MessageBody for HoldingBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
