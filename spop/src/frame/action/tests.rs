use super::*;
use crate::EncodeError;

/// Every scope, its byte, and the longest name that HAProxy takes in it for a prefix of one byte.
const SCOPES: [(Scope, u8, usize); 5] = [
    (Scope::Process, 0, 56),
    (Scope::Session, 1, 56),
    (Scope::Transaction, 2, 57),
    (Scope::Request, 3, 57),
    (Scope::Response, 4, 57),
];

#[test]
fn a_variable_is_set_in_every_scope() {
    for (scope, code, _) in SCOPES {
        let mut actions = Actions::new();
        actions.set_var(scope, "v", 42).unwrap();
        assert_eq!(actions.as_bytes(), [1, 3, code, 1, b'v', 0x02, 42], "{scope:?}");
    }
}

#[test]
fn a_variable_is_unset_in_every_scope() {
    for (scope, code, _) in SCOPES {
        let mut actions = Actions::new();
        actions.unset_var(scope, "v").unwrap();
        assert_eq!(actions.as_bytes(), [2, 2, code, 1, b'v'], "{scope:?}");
    }
}

#[test]
fn scopes_have_their_code_and_their_keyword() {
    for (scope, code, _) in SCOPES {
        assert_eq!(Scope::from_code(code), Some(scope));
    }
    assert_eq!(Scope::from_code(5), None);
    assert_eq!(SCOPES.map(|(scope, ..)| scope.keyword()), ["proc", "sess", "txn", "req", "res"]);
}

#[test]
fn none_unsets_by_null() {
    let mut actions = Actions::new();
    actions.set_var(Scope::Transaction, "v", None::<&str>).unwrap();
    assert_eq!(actions.as_bytes(), b"\x01\x03\x02\x01v\x00");
}

#[test]
fn values_of_every_type_are_written() {
    for (value, bytes) in [
        (TypedData::Null, &b"\x00"[..]),
        (TypedData::Bool(true), b"\x11"),
        (TypedData::Int32(-42), b"\x02\xf6\xee\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"),
        (TypedData::Uint32(7), b"\x03\x07"),
        (TypedData::Int64(7), b"\x04\x07"),
        (TypedData::Uint64(7), b"\x05\x07"),
        (TypedData::Ipv4([192, 0, 2, 1].into()), b"\x06\xc0\x00\x02\x01"),
        (
            TypedData::Ipv6([3; 16].into()),
            b"\x07\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03",
        ),
        (TypedData::String("text".into()), b"\x08\x04text"),
        (TypedData::Binary(b"\x00\xff"), b"\x09\x02\x00\xff"),
    ] {
        let mut actions = Actions::new();
        actions.set_var(Scope::Session, "name.x_1", value).unwrap();
        assert_eq!(actions.as_bytes(), [b"\x01\x03\x01\x08name.x_1", bytes].concat(), "{value:?}");
    }
}

#[test]
fn actions_keep_their_order() {
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "a", 1).unwrap().unset_var(Scope::Session, "a").unwrap();
    actions.set_var(Scope::Session, "a", 2).unwrap();
    assert_eq!(actions.as_bytes(), b"\x01\x03\x01\x01a\x02\x01\x02\x02\x01\x01a\x01\x03\x01\x01a\x02\x02");
}

#[test]
fn an_empty_name_is_one() {
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "", 1).unwrap();
    assert_eq!(actions.as_bytes(), b"\x01\x03\x01\x00\x02\x01");
}

#[test]
fn a_name_that_haproxy_drops_for_its_length_is_refused() {
    for (scope, _, max) in SCOPES {
        let mut actions = Actions::new();
        actions.set_var(scope, &"x".repeat(max), 1).unwrap();
        actions.unset_var(scope, &"x".repeat(max)).unwrap();
        let before = actions.clone();
        let error = EncodeError::NameTooLong { len: max + 1, max };
        assert_eq!(actions.set_var(scope, &"x".repeat(max + 1), 1).unwrap_err(), error);
        assert_eq!(actions.unset_var(scope, &"x".repeat(max + 1)).unwrap_err(), error);
        assert_eq!(actions, before);
    }
}

#[test]
fn the_longest_name_may_have_the_longest_fixed_value() {
    let (name, mut actions) = ("x".repeat(57), Actions::new());
    actions.set_var(Scope::Transaction, &name, core::net::Ipv6Addr::LOCALHOST).unwrap();
    assert_eq!(actions.as_bytes().len(), 3 + 1 + 57 + 17);
}

#[test]
fn a_known_prefix_counts_in_full() {
    for (scope, _, max) in SCOPES {
        let max = max + 1 - "iprep".len();
        let mut actions = Actions::with_var_prefix("iprep");
        actions.set_var(scope, &"x".repeat(max), 1).unwrap();
        let error = actions.set_var(scope, &"x".repeat(max + 1), 1).unwrap_err();
        assert_eq!(error, EncodeError::NameTooLong { len: max + 1, max });
    }
}

#[test]
fn a_prefix_that_leaves_no_room_is_no_panic() {
    let mut actions = Actions::with_var_prefix(&"p".repeat(100));
    let error = actions.set_var(Scope::Session, "v", 1).unwrap_err();
    assert_eq!(error, EncodeError::NameTooLong { len: 1, max: 0 });
}

#[test]
fn a_name_with_a_byte_that_haproxy_drops_is_refused() {
    for (name, byte) in
        [("a-b", b'-'), ("a b", b' '), ("\u{e9}", 0xc3), ("a\0", 0), ("a/b", b'/'), ("a:b", b':')]
    {
        let mut actions = Actions::new();
        actions.set_var(Scope::Session, "good", 1).unwrap();
        let before = actions.clone();
        assert_eq!(actions.set_var(Scope::Session, name, 1).unwrap_err(), EncodeError::NameByte(byte));
        assert_eq!(actions.unset_var(Scope::Session, name).unwrap_err(), EncodeError::NameByte(byte));
        assert_eq!(actions, before, "{name:?}");
    }
}

#[test]
fn every_byte_that_haproxy_takes_is_taken() {
    let name = "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.0123456789";
    assert!(Actions::new().set_var(Scope::Session, name, 1).is_ok());
    assert!(Actions::new().set_var(Scope::Session, &name.to_lowercase(), 1).is_ok());
}

/// An action of `len` bytes: seven of frame and name, the rest in a STRING.
fn action_of(len: usize) -> (String, Vec<u8>) {
    let text = "y".repeat(len - 7);
    let bytes = [b"\x01\x03\x01\x01v\x08", &[text.len() as u8][..], text.as_bytes()].concat();
    (text, bytes)
}

#[test]
fn growing_past_the_inline_space_keeps_every_byte() {
    for first in (7..100).chain([200]) {
        let (text_1, bytes_1) = action_of(first);
        for second in [7, 8, 40, 78, 200] {
            let (text_2, bytes_2) = action_of(second);
            let mut actions = Actions::new();
            actions.set_var(Scope::Session, "v", &text_1).unwrap();
            actions.set_var(Scope::Session, "v", &text_2).unwrap();
            actions.set_var(Scope::Session, "v", &text_1).unwrap();
            assert_eq!(actions.as_bytes(), [&*bytes_1, &bytes_2, &bytes_1].concat(), "{first} then {second}");
        }
    }
}

#[test]
fn appended_actions_come_behind() {
    let ((text, bytes), mut all) = (action_of(60), Actions::new());
    let mut one = Actions::new();
    one.set_var(Scope::Session, "v", &text).unwrap();
    for count in 0..4 {
        assert_eq!(all.as_bytes(), bytes.repeat(count));
        all.append(&one);
    }
    let mut copy = Actions::new();
    copy.append(&all).append(&Actions::new());
    assert_eq!(copy, all);
}

#[test]
fn no_action_is_empty() {
    let mut actions = Actions::default();
    assert!(actions.is_empty());
    actions.set_var(Scope::Session, "bad name", 1).unwrap_err();
    assert!(actions.is_empty());
    actions.unset_var(Scope::Session, "v").unwrap();
    assert!(!actions.is_empty());
}

#[test]
fn equal_bytes_are_equal_actions() {
    let (text, _) = action_of(40);
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "v", &text).unwrap();
    let mut other = Actions::with_var_prefix("iprep");
    other.append(&actions);
    assert_eq!(actions, other);
    assert_ne!(actions, Actions::new());
}
