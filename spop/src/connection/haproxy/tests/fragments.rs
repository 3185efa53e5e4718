use super::*;

const TEXT: &str = "0123456789";

fn running(engine: Engine, capabilities: Capabilities) -> Transcript {
    Transcript::running(Config::new(engine), 256, capabilities | Capabilities::PIPELINING)
}

/// Type, flags, ids and length.
type Sent = (u8, u32, NotifyId, usize);

/// Every frame in `out`, and all payloads in one.
fn sent(mut out: BytesMut) -> (Vec<Sent>, Vec<u8>) {
    let (mut frames, mut payloads) = (Vec::new(), Vec::new());
    while let Some(frame) = FrameDecoder::new(u32::MAX).decode(&mut out).unwrap() {
        let (header, payload) = FrameHeader::parse(&frame).unwrap();
        frames.push((header.frame_type.0, header.flags.0, header.id, frame.len()));
        payloads.extend_from_slice(payload);
    }
    assert!(out.is_empty());
    (frames, payloads)
}

#[test]
fn an_applet_cuts_what_is_too_long_for_an_agent_that_takes_fragments() {
    let mut transcript = running(Engine::Applet, Capabilities::FRAGMENTATION);
    transcript.notify(0, 1).out.clear();
    let mut notify = transcript.connection.notify(&mut transcript.out).unwrap();
    notify.message("m").unwrap().arg("a", Text::new(TEXT.repeat(60).as_bytes())).unwrap();
    notify.finish();
    assert_eq!(transcript.connection.in_flight(), 2);
    let (frames, payload) = sent(transcript.out);
    // 3 of message, 2 of name, 1 of type, 2 of length, and the text.
    assert_eq!(payload.len(), 3 + 2 + 1 + 2 + 600);
    let ids = id(2, 1);
    let rest = 7 + payload.len() - 2 * (256 - 7);
    assert_eq!(frames, [(3, 0, ids, 256), (0, 0, ids, 256), (0, 1, ids, rest)]);
    let whole = [&b"\x03\0\0\0\x01\x02\x01"[..], &payload].concat();
    let notify = Notify::parse(whole).unwrap();
    assert_eq!(notify.message("m").unwrap().get::<&str>("a").unwrap(), TEXT.repeat(60));
}

#[test]
fn what_fits_is_sent_whole() {
    let mut transcript = running(Engine::Applet, Capabilities::FRAGMENTATION);
    for (len, frames) in [(256 - 7, 1), (256 - 7 + 1, 2), (2 * (256 - 7), 2)] {
        let mut notify = transcript.connection.notify(&mut transcript.out).unwrap();
        notify.payload(&vec![b'x'; len]).unwrap();
        notify.finish();
        assert_eq!(sent(transcript.out.split()).0.len(), frames, "{len} bytes");
    }
}

#[test]
fn nothing_is_cut_for_another_agent_or_by_another_engine() {
    for (engine, capabilities) in
        [(Engine::Applet, Capabilities::NONE), (Engine::Mux, Capabilities::FRAGMENTATION)]
    {
        let mut transcript = running(engine, capabilities);
        let mut notify = transcript.connection.notify(&mut transcript.out).unwrap();
        let error = notify.payload(&[b'x'; 250]).unwrap_err();
        assert_eq!(error, EncodeError::FrameTooBig { max: 256 });
        drop(notify);
        assert!(transcript.out.is_empty());
    }
}

#[test]
fn frames_before_a_cut_one_stay_as_they_are() {
    let mut transcript = running(Engine::Applet, Capabilities::FRAGMENTATION);
    transcript.notify(0, 1);
    let before = transcript.out.clone();
    let mut notify = transcript.connection.notify(&mut transcript.out).unwrap();
    notify.payload(&[b'x'; 300]).unwrap();
    notify.finish();
    assert!(transcript.out.starts_with(&before));
}
