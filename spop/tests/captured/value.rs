//! What the manifests say about messages, arguments, actions and values, in types of this crate.

use serde_json::{Map, Value};
use spop::{OwnedTypedData, Scope, TypedData};

/// A message: its name and arguments.
pub(crate) type Message = (String, Vec<(String, OwnedTypedData)>);

/// An action; without a value it is unset-var.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) scope: Scope,
    pub(crate) name: String,
    pub(crate) value: Option<OwnedTypedData>,
}

/// A JSON object of which every field is known to the tests: nothing a manifest says goes unread.
pub(crate) fn fields<'a>(value: &'a Value, known: &[&str]) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for field in object.keys() {
        assert!(known.contains(&field.as_str()), "unknown field {field} in {value}");
    }
    object
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no string: {value}")).to_owned()
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

pub(crate) fn list<T>(value: &Value, item: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap_or_else(|| panic!("no array: {value}")).iter().map(item).collect()
}

pub(crate) fn message(value: &Value) -> Message {
    let fields = fields(value, &["name", "nb_args", "args"]);
    let args = list(&fields["args"], named_value);
    assert_eq!(number(&fields["nb_args"]), args.len() as u64, "{value}");
    (text(&fields["name"]), args)
}

/// An argument, or an item of a KV-LIST.
pub(crate) fn named_value(value: &Value) -> (String, OwnedTypedData) {
    (text(&fields(value, &["name", "type", "value", "value_hex"])["name"]), typed_data(value))
}

pub(crate) fn action(value: &Value) -> Action {
    let fields = fields(value, &["action", "scope", "name", "type", "value"]);
    let scope = match text(&fields["scope"]).as_str() {
        "proc" => Scope::Process,
        "sess" => Scope::Session,
        "txn" => Scope::Transaction,
        "req" => Scope::Request,
        "res" => Scope::Response,
        other => panic!("unknown scope {other}"),
    };
    let value = match text(&fields["action"]).as_str() {
        "set-var" => Some(typed_data(value)),
        "unset-var" => None,
        other => panic!("unknown action {other}"),
    };
    Action { scope, name: text(&fields["name"]), value }
}

fn typed_data(object: &Value) -> OwnedTypedData {
    let (data_type, value) = (text(&object["type"]), &object["value"]);
    let signed = || value.as_i64().unwrap_or_else(|| panic!("no integer: {object}"));
    match data_type.as_str() {
        "null" => {
            assert!(value.is_null(), "{object}");
            OwnedTypedData::Null
        }
        "bool" => OwnedTypedData::Bool(value.as_bool().unwrap_or_else(|| panic!("no bool: {object}"))),
        "int32" => OwnedTypedData::Int32(signed().try_into().unwrap()),
        "uint32" => OwnedTypedData::Uint32(number(value).try_into().unwrap()),
        "int64" => OwnedTypedData::Int64(signed()),
        "uint64" => OwnedTypedData::Uint64(number(value)),
        "ipv4" => OwnedTypedData::Ipv4(text(value).parse().unwrap()),
        "ipv6" => OwnedTypedData::Ipv6(text(value).parse().unwrap()),
        "string" => OwnedTypedData::String(match object.get("value_hex") {
            Some(hex) => from_hex(&text(hex)),
            None => text(value).into_bytes(),
        }),
        "binary" => OwnedTypedData::Binary(from_hex(&text(value))),
        other => panic!("unknown type {other}"),
    }
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The messages of a NOTIFY, for comparison.
pub(crate) fn messages_of<B: AsRef<[u8]>>(notify: &spop::Notify<B>) -> Vec<Message> {
    let messages: Vec<_> = notify
        .messages()
        .map(|message| {
            let args: Vec<_> = message.args().map(|arg| (utf8(arg.name), arg.value.into_owned())).collect();
            assert_eq!(message.args().len(), args.len());
            (utf8(message.name()), args)
        })
        .collect();
    assert_eq!(notify.messages().len(), messages.len());
    messages
}

/// The actions of an ACK, for comparison.
pub(crate) fn actions_of<B: AsRef<[u8]>>(ack: &spop::Ack<B>) -> Vec<Action> {
    let owned = |action| match action {
        spop::Action::SetVar { scope, name, value } => {
            Action { scope, name: utf8(name), value: Some(TypedData::into_owned(value)) }
        }
        spop::Action::UnsetVar { scope, name } => Action { scope, name: utf8(name), value: None },
    };
    ack.actions().map(owned).collect()
}

fn utf8(text: spop::Text<'_>) -> String {
    text.to_str().expect("a name of a captured frame").to_owned()
}
