//! The least an agent can do: find out which ids to answer, and send them an ACK that was made beforehand.

use std::io;

use bytes::{Buf, BytesMut};
use spop::{AckWriter, AgentHello, Capabilities, Disconnect, NotifyId, Status, Version};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::profile::{MAX_FRAME_SIZE, VALUE, VARIABLE};

/// Type, flags and one byte for each id: no frame is shorter.
const MIN_FRAME: usize = 7;

/// Where the ids start, the length prefix counted.
const IDS: usize = 9;

/// Answers without parsing: it looks at the length of a frame, its type, and where its ids end. Nothing is checked but
/// that the ids are within the frame.
#[derive(Debug)]
pub struct Canned {
    /// The actions of every ACK.
    actions: Vec<u8>,
    hello: Vec<u8>,
    disconnect: Vec<u8>,
}

impl Canned {
    /// An agent that says `pipelining` and answers with the variable all agents here set.
    pub fn new() -> Self {
        let mut ack = BytesMut::new();
        let mut writer =
            AckWriter::new(NotifyId { stream_id: 0, frame_id: 0 }, MAX_FRAME_SIZE as usize, &mut ack);
        writer.set_var(VARIABLE.0, VARIABLE.1, VALUE).expect("a good name");
        writer.finish();
        let mut hello = BytesMut::new();
        AgentHello {
            version: Version::V2_0,
            max_frame_size: Some(MAX_FRAME_SIZE),
            capabilities: Some(Capabilities::PIPELINING),
        }
        .encode(&mut hello);
        let mut disconnect = BytesMut::new();
        let frame = spop::Frame::<&[u8]>::AgentDisconnect(Disconnect::new(Status::NORMAL));
        frame.encode(&mut disconnect).expect("a short frame");
        Self { actions: ack[IDS + 2..].to_vec(), hello: hello.into(), disconnect: disconnect.into() }
    }

    /// Answers all complete frames of `input` into `out`; returns how many bytes they took, and whether HAProxy sent
    /// its DISCONNECT.
    ///
    /// # Errors
    /// If a frame is too short to have ids.
    pub fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> io::Result<(usize, bool)> {
        let mut rest = input;
        while let Some((prefix, body)) = rest.split_first_chunk() {
            let len = u32::from_be_bytes(*prefix) as usize;
            let Some((frame, after)) = body.split_at_checked(len) else { break };
            if len < MIN_FRAME {
                return Err(io::ErrorKind::InvalidData.into());
            }
            rest = after;
            match frame[0] {
                3 => self.ack(&frame[5..], out)?,
                1 => out.extend_from_slice(&self.hello),
                2 => {
                    out.extend_from_slice(&self.disconnect);
                    return Ok((input.len() - rest.len(), true));
                }
                _ => {}
            }
        }
        Ok((input.len() - rest.len(), false))
    }

    /// Copies the ids at the start of `payload` as they stand, without knowing what they are.
    #[inline]
    fn ack(&self, payload: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let end = skip_varint(payload, 0).and_then(|end| skip_varint(payload, end));
        let Some(ids) = end.and_then(|end| payload.get(..end)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let len = (5 + ids.len() + self.actions.len()) as u32;
        let [a, b, c, d] = len.to_be_bytes();
        out.extend_from_slice(&[a, b, c, d, 103, 0, 0, 0, 1]);
        out.extend_from_slice(ids);
        out.extend_from_slice(&self.actions);
        Ok(())
    }
}

impl Default for Canned {
    fn default() -> Self {
        Self::new()
    }
}

#[inline]
fn skip_varint(bytes: &[u8], at: usize) -> Option<usize> {
    if *bytes.get(at)? < 240 {
        return Some(at + 1);
    }
    let len = bytes.get(at + 1..)?.iter().position(|&byte| byte < 128)?;
    Some(at + 2 + len)
}

/// Serves one connection on tokio, for the benchmarks of servers; the agent `limit-agent` has a loop of its own.
///
/// # Errors
/// What the stream returns.
pub async fn serve(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let canned = Canned::new();
    let (mut input, mut out) = (BytesMut::with_capacity(64 * 1024), Vec::with_capacity(64 * 1024));
    loop {
        input.reserve(16 * 1024);
        if io.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let (taken, disconnect) = canned.answer(&input, &mut out)?;
        input.advance(taken);
        io.write_all(&out).await?;
        out.clear();
        if disconnect {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;

    #[test]
    fn every_notify_gets_an_ack_with_its_ids() {
        for index in [0, 200, 3000, 1 << 40] {
            let frame = Profile::log_request().frame(index);
            let mut out = Vec::new();
            let (taken, disconnect) = Canned::new().answer(&frame, &mut out).unwrap();
            assert_eq!((taken, disconnect), (frame.len(), false));
            let ack = spop::Ack::parse(&out[4..]).unwrap();
            assert_eq!(ack.id(), NotifyId { stream_id: 1 + 2 * index, frame_id: 1 });
            assert_eq!(ack.actions().count(), 1);
        }
    }

    #[test]
    fn half_a_frame_waits() {
        let frame = Profile::log_request().frame(0);
        let mut out = Vec::new();
        assert_eq!(Canned::new().answer(&frame[..frame.len() - 1], &mut out).unwrap(), (0, false));
        assert!(out.is_empty());
    }
}
