//! The bytes that a client sends on a socket, counted before the codec sees them.
//!
//! The codec looks at its limit once a whole frame is there, and keeps all bytes until then. So the heads of frames are read here:
//! a frame is refused for what it announces, the frames of one message count together, each frame counts against the rate whatever it
//! is, and a message that is begun has a deadline. One frame at a time is handed on, so that the codec never holds a queue of them.

use super::limit::Meter;
use crate::{http::pace::Pace, settings::SocketSettings};
use actix_web::{
    error::PayloadError,
    web::{Bytes, Payload},
};
use actix_ws::ProtocolError;
use futures_util::Stream;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The longest head of a frame, in bytes: two, a length of eight, and a mask of four.
const MAX_HEAD_BYTES: usize = 14;

/// Why what a client sends is taken no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum FrameFault {
    /// A frame, or a message of several, is larger than it may be.
    #[error("the frame is too large")]
    Large,
    /// More frames than the rate allows.
    #[error("too many frames")]
    Many,
    /// A message was begun and did not come to its end in time.
    #[error("the frame came too slowly")]
    Slow,
}

impl FrameFault {
    /// The fault inside the codec's error, if it is one of ours.
    pub(super) fn of(error: &ProtocolError) -> Option<Self> {
        let ProtocolError::Io(error) = error else { return None };
        let Some(PayloadError::Io(error)) = error.get_ref()?.downcast_ref::<PayloadError>() else { return None };
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

impl From<FrameFault> for PayloadError {
    fn from(fault: FrameFault) -> Self {
        Self::Io(io::Error::other(fault))
    }
}

/// The bytes of a client's frames, within their limits.
pub(in crate::http) struct Incoming {
    from: Payload,
    frames: Frames,
    pace: Pace,
    /// Read, and not handed on.
    unread: Bytes,
    /// Wakes whoever reads when a message that was begun is late.
    late: Option<Pin<Box<Sleep>>>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading,
    /// A frame is whole: the codec takes it before it gets more.
    FrameEnded,
    Ended,
}

impl Incoming {
    /// Reads frames from this payload.
    pub(in crate::http) fn new(from: Payload, limits: &SocketSettings, pace: Pace) -> Self {
        let meter = Meter::new(limits.frames_per_second, Instant::now());
        let max_bytes = limits.max_frame_bytes as u64;
        let frames = Frames { max_bytes, meter, head: Head::default(), left: 0, message: Message::None };
        Self { from, frames, pace, unread: Bytes::new(), late: None, state: State::Reading }
    }

    /// The bytes up to the end of the frame that they begin in.
    fn take_piece(&mut self) -> Result<Bytes, FrameFault> {
        let (taken, is_whole) = self.frames.advance(&self.unread, Instant::now())?;
        if is_whole {
            self.state = State::FrameEnded;
        }
        Ok(self.unread.split_to(taken))
    }

    /// Nothing is there: pending, unless a message that was begun is late.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        let Message::Begun { at, moved, .. } = self.frames.message else {
            self.late = None;
            return Poll::Pending;
        };
        let deadline = self.pace.deadline(at, moved);
        let late = self.late.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if late.deadline() != deadline {
            late.as_mut().reset(deadline);
        }
        match late.as_mut().poll(context) {
            Poll::Ready(()) => {
                self.state = State::Ended;
                Poll::Ready(Some(Err(FrameFault::Slow.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match this.state {
            State::Ended => return Poll::Ready(None),
            State::FrameEnded => {
                // Who reads takes the frame, and then asks again.
                this.state = State::Reading;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Reading => {}
        }
        if this.unread.is_empty() {
            match Pin::new(&mut this.from).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => this.unread = bytes,
                Poll::Ready(other) => return Poll::Ready(other),
                Poll::Pending => return this.wait(context),
            }
        }
        let piece = this.take_piece();
        Poll::Ready(Some(piece.map_err(|fault| {
            this.state = State::Ended;
            fault.into()
        })))
    }
}

/// Where a client's bytes are among its frames.
#[derive(Debug)]
struct Frames {
    max_bytes: u64,
    meter: Meter,
    head: Head,
    /// The bytes of the frame that are still to come after its head.
    left: u64,
    message: Message,
}

/// A message that may have several frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    None,
    Begun {
        at: Instant,
        /// The bytes that came since, heads among them.
        moved: usize,
        /// The bytes that its frames announced.
        bytes: u64,
        /// Whether more frames of it are to come after this one.
        goes_on: bool,
    },
}

impl Frames {
    /// How many of these bytes belong to the frame that they begin in, and whether it is whole then.
    fn advance(&mut self, bytes: &[u8], now: Instant) -> Result<(usize, bool), FrameFault> {
        let mut taken = 0;
        if !self.head.is_whole() {
            taken = self.head.fill(bytes);
            self.moved(taken, now);
            if !self.head.is_whole() {
                return Ok((taken, false));
            }
            self.begin(now)?;
        }
        let body = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - taken);
        self.left -= body as u64;
        self.moved(body, now);
        if self.left > 0 {
            return Ok((taken + body, false));
        }
        self.head = Head::default();
        if !matches!(self.message, Message::Begun { goes_on: true, .. }) {
            self.message = Message::None;
        }
        Ok((taken + body, true))
    }

    /// A frame's head is there: what it announces must fit.
    fn begin(&mut self, now: Instant) -> Result<(), FrameFault> {
        if !self.meter.allows(now) {
            return Err(FrameFault::Many);
        }
        self.left = self.head.length();
        if self.left > self.max_bytes {
            return Err(FrameFault::Large);
        }
        let Message::Begun { bytes, goes_on, .. } = &mut self.message else { return Ok(()) };
        // A control frame stands between the frames of a message and is none of them.
        if !self.head.is_control() {
            *bytes += self.left;
            *goes_on = !self.head.is_final();
            if *bytes > self.max_bytes {
                return Err(FrameFault::Large);
            }
        }
        Ok(())
    }

    fn moved(&mut self, count: usize, now: Instant) {
        match &mut self.message {
            Message::Begun { moved, .. } => *moved += count,
            Message::None => self.message = Message::Begun { at: now, moved: count, bytes: 0, goes_on: false },
        }
    }
}

/// A frame's head, as far as it came.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bytes: [u8; MAX_HEAD_BYTES],
    count: usize,
}

impl Head {
    /// Fills it with what it still lacks. Returns how many bytes that took.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while !self.is_whole() && taken < bytes.len() {
            self.bytes[self.count] = bytes[taken];
            self.count += 1;
            taken += 1;
        }
        taken
    }

    fn is_whole(&self) -> bool {
        self.count >= 2 && self.count == 2 + self.length_bytes() + if self.bytes[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn length_bytes(&self) -> usize {
        match self.bytes[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    /// The bytes that it announces.
    fn length(&self) -> u64 {
        match self.length_bytes() {
            0 => u64::from(self.bytes[1] & 0x7f),
            count => self.bytes[2..2 + count].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        }
    }

    fn is_final(&self) -> bool {
        self.bytes[0] & 0x80 != 0
    }

    fn is_control(&self) -> bool {
        self.bytes[0] & 0x08 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{num::NonZeroU32, time::Duration};

    const FIN: u8 = 0x80;

    fn frames(max_bytes: u64, per_second: u32) -> (Frames, Instant) {
        let now = Instant::now();
        let meter = Meter::new(NonZeroU32::new(per_second).unwrap(), now);
        (Frames { max_bytes, meter, head: Head::default(), left: 0, message: Message::None }, now)
    }

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match u8::try_from(length).ok().filter(|length| *length < 126) {
            Some(length) => frame.push(0x80 | length),
            None => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.resize(frame.len() + 4 + length, 0);
        frame
    }

    /// The lengths of the whole frames, when the bytes come in pieces of this size.
    fn whole(bytes: &[u8], size: usize, max_bytes: u64) -> Result<Vec<usize>, FrameFault> {
        let (mut frames, now) = frames(max_bytes, 1_000);
        let (mut found, mut length) = (Vec::new(), 0);
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                let (taken, is_whole) = frames.advance(piece, now)?;
                length += taken;
                piece = &piece[taken..];
                if is_whole {
                    found.push(std::mem::take(&mut length));
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn inv28_frames_are_found_however_they_are_cut_up() {
        let sent =
            [frame(FIN | 1, 0), frame(1, 200), frame(FIN | 9, 3), frame(0, 0), frame(FIN, 125), frame(FIN | 2, 126)];
        let lengths: Vec<usize> = sent.iter().map(Vec::len).collect();
        for size in 1..sent.concat().len() {
            assert_eq!(whole(&sent.concat(), size, 400), Ok(lengths.clone()), "{size}");
        }
    }

    #[test]
    fn inv28_what_is_announced_counts_and_a_message_counts_whole() {
        for size in [1, 7, 10_000] {
            assert_eq!(whole(&frame(FIN | 1, 401)[..8], size, 400), Err(FrameFault::Large));
            let parts = [frame(1, 200), frame(0, 200), frame(FIN, 1)].concat();
            assert_eq!(whole(&parts, size, 400), Err(FrameFault::Large));
            let endless = [vec![FIN | 1, 0xff], vec![0xff; 8], vec![0; 4]].concat();
            assert_eq!(whole(&endless, size, 400), Err(FrameFault::Large));
            let after = [frame(1, 200), frame(FIN, 200), frame(1, 200), frame(FIN, 200)].concat();
            assert_eq!(whole(&after, size, 400).map(|frames| frames.len()), Ok(4), "each message begins anew");
        }
    }

    #[test]
    fn inv28_every_frame_counts_against_the_rate() {
        let (mut frames, now) = frames(400, 10);
        let empty = frame(0, 0);
        assert!((0..20).all(|_| frames.advance(&empty, now).is_ok()));
        assert_eq!(frames.advance(&empty, now), Err(FrameFault::Many));
    }

    #[test]
    fn inv31_a_message_is_begun_until_its_last_frame() {
        let (mut frames, now) = frames(400, 1_000);
        frames.advance(&frame(1, 3), now).unwrap();
        let later = now + Duration::from_secs(1);
        for between in [frame(FIN | 9, 0), frame(0, 0)] {
            frames.advance(&between, later).unwrap();
            assert!(matches!(frames.message, Message::Begun { at, .. } if at == now), "{:?}", frames.message);
        }
        frames.advance(&frame(FIN, 2), later).unwrap();
        assert_eq!(frames.message, Message::None);
        frames.advance(&frame(FIN | 1, 9)[..3], later).unwrap();
        assert!(matches!(frames.message, Message::Begun { at, moved: 3, .. } if at == later));
    }

    #[test]
    fn a_fault_is_found_in_the_codecs_error() {
        let error = ProtocolError::Io(io::Error::other(PayloadError::from(FrameFault::Slow)));
        assert_eq!(FrameFault::of(&error), Some(FrameFault::Slow));
        assert_eq!(FrameFault::of(&ProtocolError::Overflow), None);
        assert_eq!(FrameFault::of(&ProtocolError::Io(io::Error::other("another"))), None);
    }
}
