use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;
use crate::{Action, Actions, Text, TypedData};

const SCORE: Var = Var::session("ip_score");
const LABEL: Var = Var::transaction("label");

#[test]
fn each_scope_has_its_keyword() {
    let vars =
        [Var::process("v"), Var::session("v"), Var::transaction("v"), Var::request("v"), Var::response("v")];
    assert_eq!(vars.map(|var| var.to_string()), ["proc.v", "sess.v", "txn.v", "req.v", "res.v"]);
}

#[test]
fn a_name_of_the_run_time_is_checked() {
    assert_eq!(Var::new(Scope::Session, "ip_score"), Ok(SCORE));
    assert_eq!(Var::new(Scope::Session, "ip-score"), Err(EncodeError::NameByte(b'-')));
    let long = "x".repeat(57).leak();
    assert_eq!(Var::new(Scope::Session, long), Err(EncodeError::NameTooLong { len: 57, max: 56 }));
}

#[test]
#[should_panic = "A-Z a-z 0-9 _ ."]
fn a_bad_name_outside_of_a_const_panics() {
    Var::session("ip-score");
}

#[test]
fn a_name_may_be_too_long_for_a_prefix() {
    assert_eq!(SCORE.check_prefix("iprep"), Ok(()));
    assert_eq!(SCORE.check_prefix(&"p".repeat(49)), Ok(()));
    let error = EncodeError::NameTooLong { len: 8, max: 7 };
    assert_eq!(SCORE.check_prefix(&"p".repeat(50)).unwrap_err(), error);
    let error = SCORE.check_prefix(&"p".repeat(500)).unwrap_err();
    assert_eq!(error, EncodeError::NameTooLong { len: 8, max: 0 });
    assert!(error.to_string().starts_with("variable sess.ip_score: "), "{error}");
}

#[test]
fn set_takes_every_kind_of_value_owned_and_borrowed() {
    let text = String::from("text");
    let actions = Actions::new()
        .set(LABEL, true)
        .set(LABEL, -1i8)
        .set(LABEL, 1u16)
        .set(LABEL, -1isize)
        .set(LABEL, 1usize)
        .set(LABEL, core::net::IpAddr::from([192, 0, 2, 1]))
        .set(LABEL, &text)
        .set(LABEL, text)
        .set(LABEL, Cow::Borrowed("cow"))
        .set(LABEL, alloc::sync::Arc::<str>::from("arc"))
        .set(LABEL, Text::new(b"\xff"))
        .set(LABEL, [1, 2])
        .set(LABEL, b"bytes")
        .set(LABEL, Vec::from([3]))
        .set(LABEL, bytes::Bytes::from_static(b"\x04"))
        .set(LABEL, Some("some"))
        .set(LABEL, None::<String>);
    let values: Vec<_> = actions
        .iter()
        .map(|action| match action {
            Action::SetVar { value, .. } => value,
            Action::UnsetVar { .. } => panic!("{action}"),
        })
        .collect();
    let want = [
        TypedData::Bool(true),
        TypedData::Int32(-1),
        TypedData::Uint32(1),
        TypedData::Int64(-1),
        TypedData::Uint64(1),
        TypedData::Ipv4([192, 0, 2, 1].into()),
        TypedData::String("text".into()),
        TypedData::String("text".into()),
        TypedData::String("cow".into()),
        TypedData::String("arc".into()),
        TypedData::String(Text::new(b"\xff")),
        TypedData::Binary(&[1, 2]),
        TypedData::Binary(b"bytes"),
        TypedData::Binary(&[3]),
        TypedData::Binary(&[4]),
        TypedData::String("some".into()),
        TypedData::Null,
    ];
    assert_eq!(values, want);
}

#[test]
fn the_value_of_a_variable_is_the_last_one() {
    let actions = Actions::new().set(SCORE, 1).set(LABEL, "x").set(SCORE, 2);
    assert_eq!(actions.get(SCORE), Some(TypedData::Int32(2)));
    assert_eq!(actions.get(Var::transaction("ip_score")), None);
    assert_eq!(actions.clone().unset(SCORE).get(SCORE), None);
    assert_eq!(actions.set(SCORE, None::<u8>).get(SCORE), None);
}

#[test]
fn actions_read_as_a_list_of_variables() {
    let actions = Actions::new().set(SCORE, 7).set(LABEL, "a\n\"").set(LABEL, [0, 255]).unset(SCORE);
    assert_eq!(
        actions.to_string(),
        r#"sess.ip_score=7 txn.label="a\n\"" txn.label=0x00ff unset sess.ip_score"#
    );
    assert_eq!(
        alloc::format!("{:?}", Actions::new().set(SCORE, 7).unset(LABEL)),
        "[sess.ip_score=7, unset txn.label]"
    );
}

#[test]
fn a_name_too_long_for_the_prefix_is_refused_where_the_prefix_is_known() {
    let mut out = bytes::BytesMut::new();
    let id = crate::NotifyId { stream_id: 1, frame_id: 1 };
    let mut ack = crate::AckWriter::new(id, 1000, &mut out).with_names(NameRule::new(&"p".repeat(50)));
    let error = ack.append(&Actions::new().set(Var::session("fits_in"), 1).set(SCORE, 1)).unwrap_err();
    assert_eq!(error, EncodeError::NameTooLong { len: 8, max: 7 });
    ack.append(&Actions::new().set(Var::session("fits_in"), 1)).unwrap();
    ack.finish();
    assert_eq!(crate::Ack::parse(&out[4..]).unwrap().to_string(), "1/1 sess.fits_in=1");
}
