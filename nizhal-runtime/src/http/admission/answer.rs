//! An answer's body, handed out in pieces: what a slow reader has not taken is held once, and counted until it is.

use super::admitted::Admitted;
use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::{BodySize, MessageBody},
    web::Bytes,
};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

/// The largest piece. The framework copies each into its buffer, and asks for the next when there is room.
const PIECE_BYTES: usize = 32 * 1024;

/// The answer with this body; the request's share is given back when the last piece is taken.
pub(in crate::http) fn sent_in_pieces(
    response: &mut HttpResponseBuilder,
    body: Bytes,
    mut admitted: Admitted,
) -> HttpResponse {
    let bytes = admitted.bytes();
    bytes.shrink(u64::MAX);
    bytes.count(body.len() as u64);
    response.body(Pieces { left: body, _admitted: admitted })
}

struct Pieces {
    left: Bytes,
    _admitted: Admitted,
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left.len() as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = PIECE_BYTES.min(self.left.len());
        Poll::Ready(Some(Ok(self.left.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::admission::admitted::{Admission, MaxTurns},
        settings::AdmissionSettings,
    };
    use actix_web::body::to_bytes;

    #[actix_web::test]
    async fn inv28_an_answer_is_counted_until_it_is_taken() {
        let settings = AdmissionSettings { max_bytes_per_actor: 200_000, ..AdmissionSettings::default() };
        let admission = Admission::new(&settings, 1, MaxTurns { pushes: 1, pulls: 1 });
        let admitted = admission.request("ana").unwrap();
        let body = Bytes::from(vec![b'x'; 100_001]);
        let response = sent_in_pieces(&mut HttpResponse::Ok(), body.clone(), admitted);
        assert_eq!(response.body().size(), BodySize::Sized(100_001));
        assert_eq!((admission.bytes().taken(), admission.requests().taken()), (100_001, 1));
        let second = sent_in_pieces(&mut HttpResponse::Ok(), body.clone(), admission.request("ana").unwrap());
        assert!(admission.request("ana").is_err(), "as much as it may");
        assert!(admission.request("ben").is_ok());
        assert!(to_bytes(response.into_body()).await.unwrap() == body);
        assert!(admission.request("ana").is_ok());
        drop(second);
        assert_eq!((admission.bytes().taken(), admission.requests().taken()), (0, 0));
    }
}
