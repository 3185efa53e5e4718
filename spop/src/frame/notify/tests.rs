use core::net::IpAddr;

use super::*;
use crate::wire::DecodeErrorKind;

const ID: NotifyId = NotifyId { stream_id: 1, frame_id: 1 };

/// A NOTIFY of these messages, without its length prefix.
fn frame(messages: &[u8]) -> Vec<u8> {
    [&b"\x03\0\0\0\x01\x01\x01"[..], messages].concat()
}

#[track_caller]
fn fault(messages: &[u8]) -> (DecodeErrorKind, usize) {
    let error = Notify::parse(frame(messages)).unwrap_err();
    (error.kind(), error.offset())
}

/// What `write` puts into a frame of at most 64 bytes.
fn written(write: impl FnOnce(&mut NotifyWriter<'_>)) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut writer = NotifyWriter::new(ID, 64, &mut out);
    write(&mut writer);
    writer.finish();
    out.split_off(LENGTH_PREFIX).to_vec()
}

fn collect<B: AsRef<[u8]>>(notify: &Notify<B>) -> Vec<(String, Vec<(String, TypedData<'_>)>)> {
    notify
        .messages()
        .map(|message| {
            let args = message.args().map(|arg| (arg.name.to_string(), arg.value)).collect();
            (message.name().to_string(), args)
        })
        .collect()
}

mod reading {
    use super::*;

    /// As captured from HAProxy: `args ip=src m=method b=bool(true) i=int(-5) src`.
    const CAPTURED: &[u8] = b"\x02m1\x05\x02ip\x06\x7f\0\0\x01\x01m\x08\x03GET\x01b\x11\
        \x01i\x04\xfb\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e\0\x06\x7f\0\0\x01";

    #[test]
    fn named_and_unnamed_arguments_come_in_their_order() {
        let bytes = frame(CAPTURED);
        let notify = Notify::parse(&bytes).unwrap();
        let localhost = TypedData::Ipv4([127, 0, 0, 1].into());
        let args = vec![
            ("ip".to_owned(), localhost),
            ("m".to_owned(), "GET".into()),
            ("b".to_owned(), true.into()),
            ("i".to_owned(), TypedData::Int64(-5)),
            (String::new(), localhost),
        ];
        assert_eq!(collect(&notify), [("m1".to_owned(), args)]);
    }

    #[test]
    fn an_argument_is_got_by_name() {
        let bytes = frame(CAPTURED);
        let notify = Notify::parse(&bytes).unwrap();
        let message = notify.message("m1").unwrap();
        assert_eq!(message.get::<IpAddr>("ip").unwrap(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(message.get::<&str>("m").unwrap(), "GET");
        assert!(message.get::<bool>("b").unwrap());
        assert_eq!(message.get::<i8>("i").unwrap(), -5);
    }

    #[test]
    fn an_unnamed_argument_is_got_by_its_position() {
        let bytes = frame(b"\x01m\x03\0\x06\x7f\0\0\x01\0\x04\x50\x01n\x08\x01x");
        let notify = Notify::parse(&bytes).unwrap();
        let message = notify.messages().next().unwrap();
        assert_eq!(message.nth::<IpAddr>(0).unwrap(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(message.nth::<u16>(1).unwrap(), 80);
        assert_eq!(message.nth::<&str>(2).unwrap(), "x", "named ones count too");
        assert_eq!(message.nth::<u8>(3).unwrap_err().to_string(), "message m, argument #3: missing");
    }

    #[test]
    fn of_two_arguments_of_one_name_the_first_is_got_and_both_are_kept() {
        let bytes = frame(b"\x01m\x02\x01a\x04\x01\x01a\x04\x02");
        let notify = Notify::parse(&bytes).unwrap();
        let message = notify.messages().next().unwrap();
        assert_eq!(message.get::<u8>("a").unwrap(), 1);
        let values: Vec<_> = message.args().map(|arg| arg.value).collect();
        assert_eq!(values, [TypedData::Int64(1), TypedData::Int64(2)]);
    }

    #[test]
    fn errors_name_the_message_the_argument_and_what_is_wrong() {
        let bytes = frame(b"\x05check\x04\x02ip\0\x04port\x04\xf0\x01\x01s\x08\x01\xff\x01\xff\0");
        let notify = Notify::parse(&bytes).unwrap();
        let message = notify.message("check").unwrap();
        let null = message.get::<IpAddr>("ip").unwrap_err();
        assert_eq!(null.to_string(), "message check, argument ip: want IPV4 or IPV6, got NULL");
        assert_eq!((null.message(), null.arg()), ("check", "ip"));
        let range = message.get::<u8>("port").unwrap_err();
        assert_eq!(range.to_string(), "message check, argument port: does not fit u8");
        assert_eq!(range.kind(), ArgErrorKind::OutOfRange { want: "u8" });
        let wrong = message.get::<&str>("port").unwrap_err();
        assert_eq!(wrong.to_string(), "message check, argument port: want STRING, got INT64");
        let utf8 = message.get::<&str>("s").unwrap_err();
        assert_eq!(utf8.to_string(), "message check, argument s: not UTF-8");
        let missing = message.get::<u8>("nope").unwrap_err();
        assert_eq!(missing.to_string(), "message check, argument nope: missing");
        let integer = message.nth::<u8>(0).unwrap_err();
        assert_eq!(integer.to_string(), "message check, argument #0: want an integer (u8), got NULL");
    }

    #[test]
    fn a_sample_without_a_value_is_none() {
        let bytes = frame(b"\x01m\x02\x02ua\0\x01p\x04\x07");
        let notify = Notify::parse(&bytes).unwrap();
        let message = notify.message("m").unwrap();
        assert_eq!(message.get::<Option<&str>>("ua").unwrap(), None);
        assert_eq!(message.get::<Option<u8>>("p").unwrap(), Some(7));
    }

    #[test]
    fn an_argument_that_is_not_there_is_none() {
        let bytes = frame(b"\x01m\x00");
        let notify = Notify::parse(&bytes).unwrap();
        let message = notify.message("m").unwrap();
        assert_eq!(message.get::<Option<&str>>("ua").unwrap(), None);
        assert_eq!(message.nth::<Option<u8>>(0).unwrap(), None);
    }

    #[test]
    fn a_message_is_found_again_by_its_position() {
        let bytes = frame(b"\x01a\x01\x01x\x11\x04name\x02\x01y\x01\x01z\x11\x01b\0");
        let notify = Notify::parse(&bytes).unwrap();
        for message in notify.messages() {
            let again = notify.message_at(notify.position(&message)).unwrap();
            assert_eq!(again.to_string(), message.to_string());
        }
        assert_eq!(notify.messages().len(), 3);
    }

    #[test]
    fn a_position_in_another_notify_is_no_message_or_any() {
        let long = frame(b"\x01a\x01\x01x\x08\x05hello\x04name\x00");
        let long = Notify::parse(&long).unwrap();
        let positions = long.messages().map(|message| long.position(&message));
        for payload in [&b""[..], b"\x01a\0", b"\x01a\0\x01b\0\x01c\0\x01d\0\x01e\0"] {
            let bytes = frame(payload);
            let notify = Notify::parse(&bytes).unwrap();
            for position in positions.clone() {
                let message = notify.message_at(position).unwrap_or_default();
                assert!(message.args().count() <= payload.len());
            }
        }
    }

    #[test]
    fn a_notify_reads_as_a_list_of_its_messages() {
        let bytes = frame(b"\x05check\x03\x02ip\x06\xc0\0\x02\x01\x00\x11\x01s\x08\x02a\"\x03log\0");
        let notify = Notify::parse(&bytes).unwrap();
        assert!(notify.to_string().ends_with(r#" check ip=192.0.2.1 true s="a\""; log"#), "{notify}");
    }

    #[test]
    fn several_messages_come_in_their_order() {
        let bytes = frame(b"\x01a\x01\x01x\x11\x01b\x00\x01a\x02\0\x01\0\x11");
        let notify = Notify::parse(&bytes).unwrap();
        let yes = TypedData::Bool(true);
        let expected = [
            ("a".to_owned(), vec![("x".to_owned(), yes)]),
            ("b".to_owned(), vec![]),
            ("a".to_owned(), vec![(String::new(), TypedData::Bool(false)), (String::new(), yes)]),
        ];
        assert_eq!(collect(&notify), expected);
    }

    #[test]
    fn message_gives_the_first_of_its_name() {
        let bytes = frame(b"\x01b\x00\x01a\x01\0\x04\x01\x01a\x01\0\x04\x02");
        let notify = Notify::parse(&bytes).unwrap();
        assert_eq!(notify.message("a").unwrap().nth::<u8>(0).unwrap(), 1);
        assert!(notify.message("c").is_none());
    }

    #[test]
    fn names_need_not_be_utf_8() {
        let bytes = frame(b"\x01\xff\x01\x01\xfe\x00");
        let notify = Notify::parse(&bytes).unwrap();
        let message = notify.messages().next().unwrap();
        assert_eq!(message.name().as_bytes(), [0xff]);
        assert_eq!(message.args().next().unwrap().name.as_bytes(), [0xfe]);
    }

    #[test]
    fn a_notify_without_messages_is_one() {
        let bytes = frame(b"");
        let notify = Notify::parse(&bytes).unwrap();
        assert_eq!((notify.id(), notify.messages().len()), (ID, 0));
    }

    #[test]
    fn ids_of_zero_are_ids() {
        let notify = Notify::parse(&b"\x03\0\0\0\x01\0\0"[..]).unwrap();
        assert_eq!(notify.id(), NotifyId { stream_id: 0, frame_id: 0 });
    }

    #[test]
    fn iterators_know_their_length_and_stay_at_their_end() {
        let bytes = frame(b"\x01a\x02\0\0\0\0\x01b\x00");
        let notify = Notify::parse(&bytes).unwrap();
        let mut messages = notify.messages();
        assert_eq!((messages.len(), messages.size_hint()), (2, (2, Some(2))));
        let mut args = messages.next().unwrap().args();
        for left in (0..2).rev() {
            assert!(args.next().is_some());
            assert_eq!(args.len(), left);
        }
        messages.next().unwrap();
        for _ in 0..3 {
            assert!(args.next().is_none());
            assert!(messages.next().is_none());
            assert_eq!((args.len(), messages.len()), (0, 0));
        }
    }

    #[test]
    fn messages_are_walked_whether_or_not_their_arguments_were() {
        let bytes = frame(b"\x01a\x02\0\x04\x01\0\x04\x02\x01b\x00");
        let notify = Notify::parse(&bytes).unwrap();
        let mut messages = notify.messages();
        assert_eq!(messages.next().unwrap().args().take(1).count(), 1);
        assert_eq!(messages.next().unwrap().name(), "b");
    }

    #[test]
    fn every_cut_is_an_error_but_the_ends_of_messages() {
        let bytes = frame(b"\x01a\x01\x01x\x11\x01b\x00");
        for end in 7..bytes.len() {
            let parsed = Notify::parse(&bytes[..end]);
            match end {
                7 => assert_eq!(parsed.unwrap().messages().len(), 0),
                13 => assert_eq!(parsed.unwrap().messages().len(), 1),
                _ => assert!(parsed.is_err(), "cut at {end}"),
            }
        }
    }
}

mod counting {
    use super::*;

    #[test]
    fn a_message_may_have_255_arguments() {
        let mut messages = b"\x01m\xff".to_vec();
        messages.extend(b"\0\x04\x01".repeat(255));
        let bytes = frame(&messages);
        let notify = Notify::parse(&bytes).unwrap();
        assert_eq!(notify.messages().next().unwrap().args().len(), 255);
    }

    /// HAProxy writes 258 arguments with a count of 2 and no warning.
    #[test]
    fn a_count_that_wrapped_is_named_as_such_for_unnamed_arguments() {
        let mut messages = b"\x01m\x02".to_vec();
        messages.extend(b"\0\x04\x01".repeat(258));
        let (kind, offset) = fault(&messages);
        assert_eq!((kind, offset), (DecodeErrorKind::ArgCount, 7 + 3 + 2 * 3));
        assert!(kind.to_string().contains("more than 255 arguments"), "{kind}");
    }

    #[test]
    fn a_count_that_wrapped_is_named_as_such_for_named_arguments() {
        let mut messages = b"\x01m\x02".to_vec();
        for index in 0..258 {
            messages.extend(format!("\x04a{index:03}\x08\x09localhost").bytes());
        }
        assert_eq!(fault(&messages), (DecodeErrorKind::ArgCount, 7 + 3 + 2 * 16));
    }

    #[test]
    fn a_first_message_without_a_name_is_an_error_at_its_place() {
        assert_eq!(fault(b"\x00\x00"), (DecodeErrorKind::EmptyMessageName, 7));
    }

    #[test]
    fn a_fault_in_the_first_message_is_told_as_it_is() {
        assert_eq!(fault(b"\x01m\x01\x01a\x0c"), (DecodeErrorKind::ReservedType(12), 12));
        assert_eq!(fault(b"\x01m\x02\x01a\x11"), (DecodeErrorKind::Truncated, 13));
    }

    #[test]
    fn a_notify_in_fragments_is_not_parsed_here() {
        let error = Notify::parse(&b"\x03\0\0\0\0\x01\x01"[..]).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::Fragmented);
    }
}

mod writing {
    use super::*;

    #[test]
    fn a_notify_is_written_as_haproxy_writes_it() {
        let bytes = written(|notify| {
            notify.message("m1").unwrap();
            notify.arg("ip", core::net::Ipv4Addr::LOCALHOST).unwrap().arg("", true).unwrap();
            notify.message("m2").unwrap();
        });
        assert_eq!(bytes, frame(b"\x02m1\x02\x02ip\x06\x7f\0\0\x01\0\x11\x02m2\0"));
    }

    #[test]
    fn a_writer_that_is_dropped_takes_all_back() {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut notify = NotifyWriter::new(ID, 64, &mut out);
        notify.message("m").unwrap().arg("a", 1).unwrap();
        drop(notify);
        assert_eq!(out[..], *b"before");
    }

    #[test]
    fn the_256th_argument_is_refused_and_the_frame_stays_good() {
        let mut out = BytesMut::new();
        let mut notify = NotifyWriter::new(ID, 16_380, &mut out);
        notify.message("m").unwrap();
        for index in 0..255 {
            notify.arg("", index).unwrap();
        }
        assert_eq!(notify.arg("", 255).unwrap_err(), EncodeError::TooManyArgs);
        notify.message("n").unwrap().arg("", 7).unwrap();
        notify.finish();
        let notify = Notify::parse(&out[LENGTH_PREFIX..]).unwrap();
        assert_eq!(notify.message("m").unwrap().args().len(), 255);
        assert_eq!(notify.message("n").unwrap().nth::<u8>(0).unwrap(), 7);
    }

    #[test]
    fn what_is_too_big_leaves_the_rest_as_it_was() {
        let bytes = written(|notify| {
            notify.message("m").unwrap().arg("a", 1).unwrap();
            let too_big = EncodeError::FrameTooBig { max: 64 };
            assert_eq!(notify.arg("b", &*"x".repeat(64)).unwrap_err(), too_big);
            assert_eq!(notify.message(&"x".repeat(64)).unwrap_err(), too_big);
            assert_eq!(notify.payload(&[0; 64]).unwrap_err(), too_big);
        });
        assert_eq!(bytes, frame(b"\x01m\x01\x01a\x02\x01"));
    }

    #[test]
    fn an_argument_after_a_message_that_did_not_fit_belongs_to_the_one_before() {
        let bytes = written(|notify| {
            notify.message("m").unwrap();
            notify.message(&"x".repeat(64)).unwrap_err();
            notify.arg("a", true).unwrap();
        });
        assert_eq!(bytes, frame(b"\x01m\x01\x01a\x11"));
    }

    #[test]
    fn a_frame_may_be_filled_to_the_last_byte() {
        let bytes = written(|notify| {
            // 7 of header, 3 of message, 4 of argument.
            notify.message("m").unwrap().arg("a", &*"x".repeat(50)).unwrap();
        });
        assert_eq!(bytes.len(), 64);
        assert!(Notify::parse(bytes).is_ok());
    }

    #[test]
    fn misuse_is_an_error() {
        let bytes = written(|notify| {
            assert_eq!(notify.arg("a", 1).unwrap_err(), EncodeError::ArgWithoutMessage);
            assert_eq!(notify.message("").unwrap_err(), EncodeError::EmptyMessageName);
        });
        assert_eq!(bytes, frame(b""));
    }

    #[test]
    fn a_payload_is_taken_as_it_is() {
        let bytes = written(|notify| {
            notify.message("m").unwrap().payload(b"\x01n\0").unwrap();
            assert_eq!(notify.arg("a", 1).unwrap_err(), EncodeError::ArgWithoutMessage);
        });
        assert_eq!(bytes, frame(b"\x01m\0\x01n\0"));
    }
}
