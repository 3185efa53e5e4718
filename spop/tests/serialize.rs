//! Types that derive serde's `Serialize`, as variables.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;
use spop::{Actions, Scope};

/// The variables of `fields`.
#[track_caller]
fn variables(fields: &impl Serialize) -> String {
    Actions::new().set_fields(Scope::Transaction, fields).unwrap().to_string()
}

#[track_caller]
fn error(fields: &impl Serialize) -> String {
    Actions::new().set_fields(Scope::Transaction, fields).unwrap_err().to_string()
}

#[derive(Serialize)]
struct One<T> {
    v: T,
}

#[derive(Serialize)]
enum Verdict {
    #[serde(rename = "let-pass")]
    LetPass,
}

#[derive(Serialize)]
struct Wrapped(u8);

#[test]
fn a_struct_is_one_variable_a_field_in_their_order() {
    #[derive(Serialize)]
    struct Answer<'a> {
        user: &'a str,
        #[serde(rename = "ip_score")]
        score: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<u8>,
    }
    assert_eq!(
        variables(&Answer { user: "ann", score: 50, note: None }),
        r#"txn.user="ann" txn.ip_score=50"#
    );
}

#[test]
fn a_map_is_one_variable_an_entry() {
    assert_eq!(variables(&BTreeMap::from([("a", 1), ("b", 2)])), "txn.a=1 txn.b=2");
    assert!(error(&BTreeMap::from([(1, 1)])).contains("want text for the keys of a map"));
}

#[test]
fn flattened_fields_are_variables_like_the_others() {
    #[derive(Serialize)]
    struct Outer {
        a: u8,
        #[serde(flatten)]
        inner: One<bool>,
    }
    assert_eq!(variables(&Outer { a: 1, inner: One { v: true } }), "txn.a=1 txn.v=true");
}

#[test]
fn every_kind_of_value_keeps_its_type() {
    assert_eq!(variables(&One { v: true }), "txn.v=true");
    assert_eq!(variables(&One { v: -7i64 }), "txn.v=-7");
    assert_eq!(variables(&One { v: u64::MAX }), "txn.v=18446744073709551615");
    assert_eq!(variables(&One { v: 'x' }), r#"txn.v="x""#);
    assert_eq!(variables(&One { v: Some("x") }), r#"txn.v="x""#);
    assert_eq!(variables(&One { v: None::<&str> }), "txn.v=NULL");
    assert_eq!(variables(&One { v: Verdict::LetPass }), r#"txn.v="let-pass""#);
    assert_eq!(variables(&One { v: Wrapped(3) }), "txn.v=3");
}

#[test]
fn addresses_are_addresses() {
    assert_eq!(variables(&One { v: Ipv4Addr::LOCALHOST }), "txn.v=127.0.0.1");
    assert_eq!(variables(&One { v: Ipv6Addr::LOCALHOST }), "txn.v=::1");
    assert_eq!(variables(&One { v: IpAddr::from([192, 0, 2, 1]) }), "txn.v=192.0.2.1");
    assert_eq!(variables(&One { v: IpAddr::from(Ipv6Addr::LOCALHOST) }), "txn.v=::1");
}

#[test]
fn bytes_are_binary() {
    assert_eq!(variables(&One { v: vec![0u8, 255] }), "txn.v=0x00ff");
    assert_eq!(variables(&One { v: [1u8, 2, 3] }), "txn.v=0x010203");
    assert_eq!(variables(&One { v: serde_bytes::Bytes::new(b"\x01\x02\x03\x04") }), "txn.v=0x01020304");
}

#[test]
fn what_is_no_value_is_refused_with_the_name_of_its_field() {
    for error in [
        error(&One { v: 0.5 }),
        error(&One { v: One { v: 1 } }),
        error(&One { v: BTreeMap::<u8, u8>::new() }),
    ] {
        assert!(error.starts_with("variable v: want a boolean, an integer"), "{error}");
    }
    assert_eq!(error(&One { v: vec!["x"] }), "variable v: want bytes: a variable has no other elements");
}

#[test]
fn a_name_that_haproxy_would_drop_is_refused() {
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Kebab {
        ip_score: u8,
    }
    let error = error(&Kebab { ip_score: 1 });
    assert!(error.starts_with("variable ip-score: variable name has the byte '-'"), "{error}");
}

#[test]
fn what_has_no_fields_is_refused() {
    assert_eq!(error(&7), "want a struct or a map: one variable for each field");
    assert_eq!(error(&[1, 2]), "want a struct or a map: one variable for each field");
}
