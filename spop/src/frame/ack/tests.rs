use super::*;
use crate::LENGTH_PREFIX;
use crate::wire::DecodeErrorKind;

const ID: NotifyId = NotifyId { stream_id: 1, frame_id: 1 };

/// An ACK of these actions, without its length prefix.
fn frame(actions: &[u8]) -> Vec<u8> {
    [&b"\x67\0\0\0\x01\x01\x01"[..], actions].concat()
}

/// What `write` puts into an ACK of at most 64 bytes.
fn written(write: impl FnOnce(&mut AckWriter<'_>)) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut ack = AckWriter::new(ID, 64, &mut out);
    write(&mut ack);
    ack.finish();
    let frame = out.split_off(LENGTH_PREFIX);
    assert_eq!(out[..], (frame.len() as u32).to_be_bytes());
    frame.to_vec()
}

mod reading {
    use super::*;

    #[track_caller]
    fn fault(actions: &[u8]) -> (DecodeErrorKind, usize) {
        let error = Ack::parse(frame(actions)).unwrap_err();
        // From the payload, for short.
        (error.kind(), error.offset() - 7)
    }

    #[test]
    fn actions_are_read_in_their_order() {
        let bytes = frame(b"\x01\x03\x01\x01a\x04\x07\x02\x02\x02\x01b\x01\x03\x00\x00\x00");
        let ack = Ack::parse(&bytes).unwrap();
        let actions: Vec<_> = ack.actions().collect();
        let expected = [
            Action::SetVar { scope: Scope::Session, name: "a".into(), value: TypedData::Int64(7) },
            Action::UnsetVar { scope: Scope::Transaction, name: "b".into() },
            Action::SetVar { scope: Scope::Process, name: "".into(), value: TypedData::Null },
        ];
        assert_eq!(actions, expected);
        assert_eq!((ack.id(), ack.flags()), (ID, Flags::FIN));
    }

    #[test]
    fn an_ack_may_have_no_action() {
        assert_eq!(Ack::parse(frame(b"")).unwrap().actions().count(), 0);
    }

    #[test]
    fn a_type_of_0_ends_the_list() {
        assert_eq!(Ack::parse(frame(b"\0")).unwrap().actions().count(), 0);
        let ack = Ack::parse(frame(b"\x02\x02\x02\x01b\0anything")).unwrap();
        let mut actions = ack.actions();
        assert!(actions.next().is_some());
        for _ in 0..3 {
            assert!(actions.next().is_none());
        }
    }

    #[test]
    fn an_abort_is_seen() {
        let ack = Ack::parse(&b"\x67\0\0\0\x03\x01\x01"[..]).unwrap();
        assert!(ack.flags().is_abort());
    }

    #[test]
    fn an_unknown_action_is_an_error() {
        assert_eq!(fault(b"\x03\x01\x02"), (DecodeErrorKind::UnknownAction(3), 0));
        assert_eq!(fault(b"\x02\x02\x02\x01b\xff"), (DecodeErrorKind::UnknownAction(255), 5));
    }

    #[test]
    fn a_wrong_number_of_arguments_is_an_error() {
        assert_eq!(fault(b"\x01\x04\x02\x01v\x11"), (DecodeErrorKind::ActionArgs(4), 1));
        assert_eq!(fault(b"\x01\x02\x02\x01v\x11"), (DecodeErrorKind::ActionArgs(2), 1));
        assert_eq!(fault(b"\x02\x03\x02\x01v"), (DecodeErrorKind::ActionArgs(3), 1));
    }

    #[test]
    fn an_unknown_scope_is_an_error() {
        for code in [5, 6, 0xff] {
            assert_eq!(fault(&[1, 3, code, 1, b'v', 0x11]), (DecodeErrorKind::UnknownScope(code), 2));
        }
    }

    #[test]
    fn a_reserved_type_is_an_error() {
        assert_eq!(fault(b"\x01\x03\x02\x01v\x0a"), (DecodeErrorKind::ReservedType(10), 5));
    }

    #[test]
    fn every_cut_of_an_action_is_an_error() {
        for action in [&b"\x01\x03\x02\x01v\x08\x03abc"[..], b"\x02\x02\x02\x01v"] {
            for end in 1..action.len() {
                assert_eq!(fault(&action[..end]).0, DecodeErrorKind::Truncated, "cut at {end}");
            }
        }
    }

    #[test]
    fn a_name_longer_than_the_frame_is_an_error() {
        assert_eq!(fault(b"\x02\x02\x02\x09v").0, DecodeErrorKind::Truncated);
    }
}

mod writing {
    use super::*;

    #[test]
    fn an_ack_has_fin_and_the_ids_of_its_notify() {
        let id = NotifyId { stream_id: 240, frame_id: u64::MAX };
        let mut out = BytesMut::new();
        AckWriter::new(id, 64, &mut out).finish();
        let bytes = b"\0\0\0\x11\x67\0\0\0\x01\xf0\0\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e";
        assert_eq!(out[..], *bytes);
    }

    #[test]
    fn the_longest_header_is_25_bytes() {
        let (id, mut out) = (NotifyId { stream_id: u64::MAX, frame_id: u64::MAX }, BytesMut::new());
        AckWriter::new(id, 64, &mut out).finish();
        assert_eq!(out[..LENGTH_PREFIX], [0, 0, 0, 25]);
        assert_eq!(Ack::parse(&out[LENGTH_PREFIX..]).unwrap().id(), id);
    }

    #[test]
    fn an_ack_in_progress_has_a_length_that_no_peer_takes() {
        let mut out = BytesMut::new();
        core::mem::forget(AckWriter::new(ID, 64, &mut out));
        assert_eq!(out[..LENGTH_PREFIX], [0xff; 4]);
    }

    #[test]
    fn a_limit_past_32_bits_is_that_of_the_length_prefix() {
        let mut out = BytesMut::new();
        let ack = AckWriter::new(ID, usize::MAX, &mut out);
        assert!(ack.remaining() <= u32::MAX as usize);
    }

    #[test]
    fn actions_are_written_in_place() {
        let bytes = written(|ack| {
            ack.set_var(Scope::Session, "a", "x").unwrap().unset_var(Scope::Response, "b").unwrap();
        });
        assert_eq!(bytes, frame(b"\x01\x03\x01\x01a\x08\x01x\x02\x02\x04\x01b"));
    }

    #[test]
    fn prepared_actions_are_added() {
        let mut actions = Actions::new();
        actions.set_var(Scope::Session, "a", true).unwrap();
        let bytes = written(|ack| {
            ack.append(&actions).unwrap().append(&actions).unwrap();
        });
        assert_eq!(bytes, frame(&b"\x01\x03\x01\x01a\x11".repeat(2)));
    }

    #[test]
    fn a_writer_that_is_dropped_takes_all_back() {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut ack = AckWriter::new(ID, 64, &mut out);
        ack.set_var(Scope::Session, "a", true).unwrap();
        drop(ack);
        assert_eq!(out[..], *b"before");
    }

    #[test]
    fn an_action_that_fails_leaves_nothing_and_the_others_stay() {
        let mut too_many = Actions::new();
        too_many.set_var(Scope::Session, "a", &*"x".repeat(64)).unwrap();
        let too_big = EncodeError::FrameTooBig { max: 64 };
        let bytes = written(|ack| {
            ack.set_var(Scope::Session, "before", 1).unwrap();
            assert_eq!(ack.set_var(Scope::Session, "a-b", 1).unwrap_err(), EncodeError::NameByte(b'-'));
            assert_eq!(ack.unset_var(Scope::Session, "a b").unwrap_err(), EncodeError::NameByte(b' '));
            let error = ack.set_var(Scope::Session, &"x".repeat(57), 1).unwrap_err();
            assert_eq!(error, EncodeError::NameTooLong { len: 57, max: 56 });
            assert_eq!(ack.set_var(Scope::Session, "a", &*"x".repeat(64)).unwrap_err(), too_big);
            assert_eq!(ack.unset_var(Scope::Session, &"x".repeat(50)).unwrap_err(), too_big);
            assert_eq!(ack.append(&too_many).unwrap_err(), too_big);
            ack.set_var(Scope::Session, "after", 2).unwrap();
        });
        assert_eq!(bytes, frame(b"\x01\x03\x01\x06before\x02\x01\x01\x03\x01\x05after\x02\x02"));
    }

    #[test]
    fn an_ack_may_be_filled_to_the_last_byte() {
        let bytes = written(|ack| {
            assert_eq!(ack.remaining(), 57);
            ack.set_var(Scope::Session, "a", &*"x".repeat(50)).unwrap();
            assert_eq!(ack.remaining(), 0);
            assert!(ack.unset_var(Scope::Session, "").is_err());
        });
        assert_eq!(bytes.len(), 64);
        assert_eq!(Ack::parse(bytes).unwrap().actions().count(), 1);
    }
}
