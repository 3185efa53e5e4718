//! The captured frames with what their manifests say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;
use spop::{DecodeErrorKind, Flags, FrameHeader, FrameType, LENGTH_PREFIX, NotifyId, OwnedTypedData};

use crate::value::{Action, Message, action, fields, from_hex, list, message, named_value, number, text};

/// The versions of HAProxy, and how many frames there are of each.
const VERSIONS: [(&str, usize); 4] = [("2.6.12", 434), ("3.0.11", 473), ("3.2.26", 333), ("3.4.7", 349)];

/// Frames whose agent, or HAProxy itself, breaks the rules, and what the crate says to them.
const REFUSED: [(&str, &str, DecodeErrorKind); 4] = [
    ("args-258-wraps", "003-h2a-notify.bin", DecodeErrorKind::ArgCount),
    ("haproxy-disconnect-04", "002-a2h-agent-hello.bin", DecodeErrorKind::ItemType("max-frame-size")),
    ("haproxy-disconnect-05", "002-a2h-agent-hello.bin", DecodeErrorKind::NoVersion),
    ("haproxy-disconnect-10", "006-a2h-ack.bin", DecodeErrorKind::Fragmented),
];

/// Every scenario of every version.
pub(crate) static SCENARIOS: LazyLock<Vec<Scenario>> =
    LazyLock::new(|| VERSIONS.iter().flat_map(|(version, _)| load(version)).collect());

/// Every frame of every scenario.
pub(crate) fn frames() -> impl Iterator<Item = &'static Captured> {
    SCENARIOS.iter().flat_map(|scenario| &scenario.frames)
}

/// The frames that differ, each once.
pub(crate) fn distinct_frames() -> impl Iterator<Item = &'static Captured> {
    let mut seen = BTreeSet::new();
    frames().filter(move |captured| seen.insert(&captured.wire))
}

pub(crate) struct Scenario {
    pub(crate) version: String,
    pub(crate) name: String,
    pub(crate) frames: Vec<Captured>,
    pub(crate) reassembled: Vec<Reassembled>,
}

/// One frame.
pub(crate) struct Captured {
    /// Version, scenario and file: for the failure text.
    pub(crate) at: String,
    pub(crate) version: String,
    pub(crate) file: String,
    pub(crate) conn: u64,
    pub(crate) from_haproxy: bool,
    pub(crate) header: FrameHeader,
    pub(crate) content: Content,
    /// What the crate must say to it instead of decoding it.
    pub(crate) refused: Option<DecodeErrorKind>,
    /// The bytes, length prefix included.
    pub(crate) wire: Vec<u8>,
}

impl Captured {
    /// The bytes from the type byte on.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.wire[LENGTH_PREFIX..]
    }

    /// Whether HAProxy 3.0 or older took part.
    pub(crate) fn is_applet(&self) -> bool {
        self.version.starts_with("2.") || self.version.starts_with("3.0.")
    }

    /// A HELLO or DISCONNECT.
    pub(crate) fn items(&self) -> Option<&[(String, OwnedTypedData)]> {
        if let Content::Items(items) = &self.content { Some(items) } else { None }
    }

    pub(crate) fn messages(&self) -> Option<&[Message]> {
        if let Content::Messages(messages) = &self.content { Some(messages) } else { None }
    }

    pub(crate) fn actions(&self) -> Option<&[Action]> {
        if let Content::Actions(actions) = &self.content { Some(actions) } else { None }
    }
}

pub(crate) enum Content {
    Items(Vec<(String, OwnedTypedData)>),
    Messages(Vec<Message>),
    Actions(Vec<Action>),
    /// Length of the payload.
    Fragment(usize),
    /// The payload.
    Undecodable(Vec<u8>),
}

/// A NOTIFY that came in fragments.
pub(crate) struct Reassembled {
    pub(crate) conn: u64,
    pub(crate) id: NotifyId,
    pub(crate) files: Vec<String>,
    pub(crate) payload_len: usize,
    /// `None` if HAProxy gave it up.
    pub(crate) messages: Option<Vec<Message>>,
}

fn dir(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frames").join(version)
}

fn load(version: &str) -> Vec<Scenario> {
    let manifest = fs::read(dir(version).join("manifest.json")).expect("the manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("the manifest is JSON");
    let manifest = fields(&manifest, &["haproxy", "agent_backend_mode", "scenarios"]);
    assert_eq!(text(&manifest["haproxy"]), version);
    let scenarios = manifest["scenarios"].as_object().expect("scenarios");
    scenarios.iter().map(|(name, value)| scenario(version, name, value)).collect()
}

fn scenario(version: &str, name: &str, value: &Value) -> Scenario {
    let is_frame = |row: &&Value| row.get("event").is_none();
    let rows = value["frames"].as_array().expect("frames");
    Scenario {
        version: version.into(),
        name: name.into(),
        frames: rows.iter().filter(is_frame).map(|row| captured(version, name, row)).collect(),
        reassembled: list(&value["reassembled"], reassembled),
    }
}

fn header(row: &Value) -> FrameHeader {
    FrameHeader {
        // Only the type of a fragmented NOTIFY is not said: that of its first frame.
        frame_type: row.get("type").map_or(FrameType::NOTIFY, |code| FrameType(number(code) as u8)),
        flags: Flags(number(&row["flags"]) as u32),
        id: NotifyId { stream_id: number(&row["stream_id"]), frame_id: number(&row["frame_id"]) },
    }
}

fn captured(version: &str, scenario: &str, row: &Value) -> Captured {
    const KNOWN: [&str; 15] = [
        "conn",
        "t_ms",
        "file",
        "dir",
        "type",
        "type_name",
        "flags",
        "stream_id",
        "frame_id",
        "kv",
        "messages",
        "actions",
        "fragment_length",
        "decode_error",
        "payload_hex",
    ];
    let fields = fields(row, &[&KNOWN[..], &["pruned_before"]].concat());
    let content = match (fields.get("kv"), fields.get("messages"), fields.get("actions")) {
        (Some(items), None, None) => Content::Items(list(items, named_value)),
        (None, Some(messages), None) => Content::Messages(list(messages, message)),
        (None, None, Some(actions)) => Content::Actions(list(actions, action)),
        (None, None, None) => match fields.get("fragment_length") {
            Some(len) => Content::Fragment(number(len) as usize),
            None => Content::Undecodable(from_hex(&text(&fields["payload_hex"]))),
        },
        _ => panic!("more than one content: {row}"),
    };
    let file = text(&fields["file"]);
    let header = header(row);
    assert_eq!(header.frame_type.to_string(), text(&fields["type_name"]));
    let refused = REFUSED.iter().find(|(name, refused, _)| (*name, *refused) == (scenario, file.as_str()));
    Captured {
        at: format!("{version}/{scenario}/{file}"),
        version: version.into(),
        conn: number(&fields["conn"]),
        from_haproxy: text(&fields["dir"]) == "h2a",
        header,
        content,
        refused: refused.map(|&(.., kind)| kind),
        wire: fs::read(dir(version).join(scenario).join(&file))
            .unwrap_or_else(|error| panic!("{file}: {error}")),
        file,
    }
}

fn reassembled(row: &Value) -> Reassembled {
    let known = ["conn", "files", "flags", "stream_id", "frame_id", "payload_length", "messages", "aborted"];
    let fields = fields(row, &known);
    Reassembled {
        conn: number(&fields["conn"]),
        id: header(row).id,
        files: list(&fields["files"], text),
        payload_len: number(&fields["payload_length"]) as usize,
        messages: fields.get("messages").map(|messages| list(messages, message)),
    }
}

#[test]
fn the_manifests_list_every_file() {
    for (version, expected) in VERSIONS {
        let listed: BTreeSet<_> = frames().filter(|f| f.version == version).map(|f| f.at.clone()).collect();
        let on_disk: BTreeSet<_> = fs::read_dir(dir(version))
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .flat_map(|scenario| {
                let files = fs::read_dir(scenario.path()).unwrap();
                let at = format!("{version}/{}", scenario.file_name().into_string().unwrap());
                files.map(move |file| format!("{at}/{}", file.unwrap().file_name().into_string().unwrap()))
            })
            .collect();
        assert_eq!(listed, on_disk, "{version}");
        assert_eq!(listed.len(), expected, "{version}");
    }
}
