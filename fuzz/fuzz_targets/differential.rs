//! The crate against the slow reference of its tests.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use spop::TypedData;
use spop_fuzz::Value;

#[path = "../../spop/tests/differential/check.rs"]
mod check;
#[path = "../../spop/tests/differential/reference.rs"]
mod reference;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Varint(u64),
    VarintBytes(&'a [u8]),
    Action(Value<'a>),
    Messages(Vec<(&'a str, Vec<(&'a str, Value<'a>)>)>),
    Payload(&'a [u8]),
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Varint(number) => check::varint(number),
    Input::VarintBytes(bytes) => check::varint_bytes(bytes),
    Input::Action(value) => check::action(value.into()),
    Input::Messages(messages) => {
        let messages: Vec<_> = messages.into_iter().filter_map(message).collect();
        check::messages(&messages);
    }
    Input::Payload(bytes) => check::payload(bytes),
});

/// A message that can be written.
fn message<'a>(
    (name, args): (&'a str, Vec<(&'a str, Value<'a>)>),
) -> Option<(&'a str, Vec<(&'a str, TypedData<'a>)>)> {
    let args = args.into_iter().take(255).map(|(name, value)| (name, value.into()));
    (!name.is_empty()).then(|| (name, args.collect()))
}
