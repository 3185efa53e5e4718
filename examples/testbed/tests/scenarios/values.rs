//! What an agent sets is what HAProxy has.

use std::net::{Ipv4Addr, Ipv6Addr};

use spop_tokio::{Actions, BoxError, Request, Scope, Server, Text, TypedData, service_fn};
use testbed::{Config, Spoe, http};

use crate::bed::{Bed, Outcome, SOON, expect};

const BYTES: &[u8] = b"\x00\x01 \x7f\x80\xff\n\xe4";
const HEX: Option<&str> = Some("0001207F80FF0AE4");

/// Variables, converters behind them, and what HAProxy makes of it; `None`: it is not set.
const VALUES: [(&str, TypedData<'_>, &str, Option<&str>); 22] = [
    ("null", TypedData::Null, "", None),
    ("yes", TypedData::Bool(true), "", Some("1")),
    ("no", TypedData::Bool(false), "", Some("0")),
    ("int32", TypedData::Int32(1234), "", Some("1234")),
    ("int32_negative", TypedData::Int32(-5), "", Some("-5")),
    ("int32_min", TypedData::Int32(i32::MIN), "", Some("-2147483648")),
    ("uint32", TypedData::Uint32(u32::MAX), "", Some("4294967295")),
    ("int64", TypedData::Int64(i64::MAX), "", Some("9223372036854775807")),
    ("int64_negative", TypedData::Int64(-1), "", Some("-1")),
    ("int64_min", TypedData::Int64(i64::MIN), "", Some("-9223372036854775808")),
    ("uint64", TypedData::Uint64(i64::MAX as u64), "", Some("9223372036854775807")),
    // HAProxy has signed integers only.
    ("uint64_max", TypedData::Uint64(u64::MAX), "", Some("-1")),
    ("sum", TypedData::Int32(-40), ",add(42)", Some("2")),
    ("ipv4", TypedData::Ipv4(Ipv4Addr::new(192, 0, 2, 235)), "", Some("192.0.2.235")),
    ("ipv4_net", TypedData::Ipv4(Ipv4Addr::new(192, 0, 2, 235)), ",ipmask(24)", Some("192.0.2.0")),
    (
        "ipv6",
        TypedData::Ipv6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xab, 0x1)),
        "",
        Some("2001:db8::ab:1"),
    ),
    ("text", TypedData::String(Text::new(b"some text, in full")), "", Some("some text, in full")),
    ("text_empty", TypedData::String(Text::new(b"")), ",length", Some("0")),
    ("text_bytes", TypedData::String(Text::new(BYTES)), ",hex", HEX),
    // HAProxy makes text of what is binary up to the first zero byte.
    ("binary_text", TypedData::Binary(b"up to\0here"), "", Some("up to")),
    ("binary", TypedData::Binary(BYTES), ",hex", HEX),
    ("binary_empty", TypedData::Binary(b""), ",length", Some("0")),
];

/// All ten types.
pub(crate) async fn value_types(bed: &Bed) -> Outcome {
    let service = service_fn(|_: Request| async {
        let mut actions = Actions::with_var_prefix("types");
        // Overwritten below: HAProxy acts in order.
        actions.set_var(Scope::Transaction, "null", "was set before")?;
        for (name, value, _, _) in VALUES {
            actions.set_var(Scope::Transaction, name, value)?;
        }
        Ok::<_, BoxError>(actions)
    });
    let spoe = Spoe::new("types").message("ask", &["args path", "event on-frontend-http-request"]);
    let show = VALUES.map(|(name, _, converter, _)| {
        let var = format!("txn.types.{name}");
        format!(
            "http-after-response set-header x-{name} %[var({var}){converter}] if {{ var({var}) -m found }}"
        )
    });
    let types = "http-after-response set-header x-bool true if { var(txn.types.yes) -m bool }\n\
                 http-after-response set-header x-bool-no true if { var(txn.types.no) -m bool }\n\
                 http-after-response set-header x-below true if { var(txn.types.int32_min) -m int lt -2147483647 }\n\
                 http-after-response set-header x-net4 true if { var(txn.types.ipv4) -m ip 192.0.2.128/25 }\n\
                 http-after-response set-header x-net6 true if { var(txn.types.ipv6) -m ip 2001:db8::/32 }";
    let setup = bed
        .start(Server::new(service), Config::http(&spoe).frontend(&show.join("\n")).frontend(types))
        .await?;
    let response = setup.get("/").await?;
    for (name, _, _, shown) in VALUES {
        expect(&response, &[(&format!("x-{name}"), shown)]);
    }
    for (header, shown) in
        [("x-bool", true), ("x-bool-no", false), ("x-below", true), ("x-net4", true), ("x-net6", true)]
    {
        expect(&response, &[(header, shown.then_some("true"))]);
    }
    setup.finish(bed).await
}

/// All five scopes, and taking variables away again.
pub(crate) async fn scopes(bed: &Bed) -> Outcome {
    let service = service_fn(|request: Request| async move {
        let mut actions = Actions::new();
        if request.message("set").is_some() {
            actions
                .set_var(Scope::Process, "v", "of the process")?
                .set_var(Scope::Session, "v", "of the session")?
                .set_var(Scope::Transaction, "v", "of the transaction")?
                .set_var(Scope::Request, "v", "of the request")?
                .set_var(Scope::Transaction, "unset", "to be unset")?
                .set_var(Scope::Transaction, "nulled", "to be nulled")?;
        }
        if request.message("response").is_some() {
            actions
                .set_var(Scope::Response, "v", "of the response")?
                .unset_var(Scope::Transaction, "unset")?
                .set_var(Scope::Transaction, "nulled", TypedData::Null)?;
        }
        Ok::<_, BoxError>(actions)
    });
    let spoe = Spoe::new("s")
        // `proc` is for variables that HAProxy has heard of.
        .agent("register-var-names v")
        .message("set", &["event on-frontend-http-request if { path /set }"])
        .message("response", &["event on-http-response"]);
    let show = |rule: &str, header: &str, var: &str| {
        format!("{rule} set-header {header} %[var({var})] if {{ var({var}) -m found }}\n")
    };
    let rules: String = [
        show("http-request", "x-unset", "txn.s.unset"),
        show("http-request", "x-nulled", "txn.s.nulled"),
        show("http-request", "x-req", "req.s.v"),
        show("http-after-response", "x-req", "req.s.v"),
        show("http-after-response", "x-proc", "proc.s.v"),
        show("http-after-response", "x-sess", "sess.s.v"),
        show("http-after-response", "x-txn", "txn.s.v"),
        show("http-after-response", "x-res", "res.s.v"),
        show("http-after-response", "x-unset", "txn.s.unset"),
        show("http-after-response", "x-nulled", "txn.s.nulled"),
    ]
    .concat();
    let setup = bed.start(Server::new(service), Config::http(&spoe).frontend(&rules)).await?;

    let before = setup.get("/").await?;
    expect(
        &before,
        &[("x-proc", None), ("x-sess", None), ("x-txn", None), ("x-res", Some("of the response"))],
    );

    let mut client = http::Connection::open(setup.haproxy.http(), None, SOON).await?;
    let set = client.send(&http::Request::new("GET", "/set")).await?;
    expect(&set, &[("x-proc", Some("of the process")), ("x-sess", Some("of the session"))]);
    expect(&set, &[("x-txn", Some("of the transaction")), ("x-res", Some("of the response"))]);
    expect(&set, &[("x-echo-x-req", Some("of the request")), ("x-req", None)]);
    expect(&set, &[("x-echo-x-unset", Some("to be unset")), ("x-unset", None)]);
    expect(&set, &[("x-echo-x-nulled", Some("to be nulled")), ("x-nulled", None)]);

    let same_session = client.send(&http::Request::new("GET", "/")).await?;
    expect(&same_session, &[("x-proc", Some("of the process")), ("x-sess", Some("of the session"))]);
    expect(&same_session, &[("x-txn", None), ("x-echo-x-req", None)]);

    let other_session = setup.get("/").await?;
    expect(&other_session, &[("x-proc", Some("of the process")), ("x-sess", None), ("x-txn", None)]);
    setup.finish(bed).await
}
