//! The messages that are measured.

use std::net::Ipv4Addr;
use std::path::Path;
use std::{fmt, fs, io};

use bytes::BytesMut;
use spop::{EncodeError, LENGTH_PREFIX, Notify, NotifyId, NotifyWriter, RawFrame, TypedData};

/// The scope and name of the variable that every agent here sets.
pub const VARIABLE: (spop::Scope, &str) = (spop::Scope::Session, "ip_score");

/// What it is set to: one byte on the wire.
pub const VALUE: u32 = 42;

/// The largest frame of all parties.
pub const MAX_FRAME_SIZE: u32 = 16_380;

/// Request headers of a browser, as `req.hdrs` has them: 716 bytes.
const HEADERS: &str = "host: shop.example.com\r\n\
    user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    accept-language: en-GB,en;q=0.7,de;q=0.3\r\n\
    accept-encoding: gzip, deflate, br, zstd\r\n\
    referer: https://shop.example.com/catalogue/garden/tools?page=3&sort=price\r\n\
    cookie: session=8e1f6a0c2b7d49e58f3d1c0a9b8e7f60; consent=v2.1-necessary-statistics; basket=1781-3,2210-1,99-12\r\n\
    dnt: 1\r\n\
    sec-fetch-dest: document\r\n\
    sec-fetch-mode: navigate\r\n\
    sec-fetch-site: same-origin\r\n\
    sec-fetch-user: ?1\r\n\
    upgrade-insecure-requests: 1\r\n\
    priority: u=0, i\r\n\
    x-forwarded-for: 192.0.2.1\r\n\
    x-request-id: 0190f5a2-7c3e-7d41-9b1a-5f2e8c6d4a03\r\n\
    \r\n";

/// The payload of a NOTIFY.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    payload: Vec<u8>,
}

impl Profile {
    /// One argument: what HAProxy's contrib agent `ip_reputation` takes.
    pub fn ip_reputation() -> Self {
        Self::build("ip-reputation", "check-client-ip", &[("ip", Ipv4Addr::new(192, 0, 2, 1).into())])
    }

    /// Three short arguments, the profile of other libraries' benchmarks: 67 bytes with ids of one byte.
    pub fn log_request() -> Self {
        let ip = Ipv4Addr::new(192, 0, 2, 1).into();
        let args = [("ip", ip), ("country", "xx".into()), ("user_agent", "curl/8.0.1".into())];
        Self::build("log-request", "log-request", &args)
    }

    /// Four arguments, one of them about 700 bytes of headers: what a web application firewall looks at.
    pub fn check_request() -> Self {
        let args = [
            ("ip", Ipv4Addr::new(192, 0, 2, 1).into()),
            ("method", "GET".into()),
            ("path", "/catalogue/garden/tools/spades/1781?colour=green&size=large".into()),
            ("headers", HEADERS.into()),
        ];
        Self::build("check-request", "check-request", &args)
    }

    /// One string of `len` bytes, a body say: HAProxy has space for about 16,000.
    pub fn string(len: usize) -> Self {
        Self::build("string", "check-body", &[("body", "x".repeat(len).as_str().into())])
    }

    /// All that can be had by name.
    pub fn all() -> [Self; 3] {
        [Self::ip_reputation(), Self::log_request(), Self::check_request()]
    }

    /// One of the names above, or a file with a NOTIFY frame, with or without its length prefix, whose payload is
    /// taken.
    ///
    /// # Errors
    /// If it is neither; the text says what is wrong with the file.
    pub fn load(name: &str) -> io::Result<Self> {
        if let Some(profile) = Self::all().into_iter().find(|profile| profile.name == name) {
            return Ok(profile);
        }
        let bytes = fs::read(name).map_err(|error| {
            let names = "want ip-reputation, log-request, check-request or a file";
            io::Error::new(error.kind(), format!("profile {name}: {error} ({names})"))
        })?;
        let file =
            Path::new(name).file_name().map_or(name.into(), |name| name.to_string_lossy().into_owned());
        let bad = |error| io::Error::new(io::ErrorKind::InvalidData, format!("profile {name}: {error}"));
        Ok(Self { name: file, payload: payload_of(&bytes).map_err(bad)? })
    }

    fn build(name: &str, message: &str, args: &[(&str, TypedData<'_>)]) -> Self {
        let mut frame = BytesMut::new();
        let id = NotifyId { stream_id: 0, frame_id: 0 };
        let write = |frame: &mut BytesMut| -> Result<(), EncodeError> {
            let mut notify = NotifyWriter::new(id, u32::MAX as usize, frame);
            notify.message(message)?;
            for &(name, value) in args {
                notify.arg(name, value)?;
            }
            notify.finish();
            Ok(())
        };
        write(&mut frame).expect("a short message");
        Self { name: name.into(), payload: payload_of(&frame).expect("a NOTIFY") }
    }

    /// Its name, or that of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The payload of the NOTIFY: its messages.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// A NOTIFY with the ids that HAProxy assigns to the request number `index` of a connection, length prefix and all.
    pub fn frame(&self, index: u64) -> Vec<u8> {
        let mut frame = BytesMut::new();
        let id = NotifyId { stream_id: 1 + 2 * index, frame_id: 1 };
        let mut notify = NotifyWriter::new(id, u32::MAX as usize, &mut frame);
        notify.payload(&self.payload).expect("no frame of 4 GiB");
        notify.finish();
        frame.into()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The payload of the NOTIFY that `bytes` are.
fn payload_of(bytes: &[u8]) -> Result<Vec<u8>, spop::DecodeError> {
    let prefixed = bytes.split_first_chunk::<LENGTH_PREFIX>();
    let frame = prefixed.filter(|(prefix, frame)| u32::from_be_bytes(**prefix) as usize == frame.len());
    let raw = RawFrame::parse(frame.map_or(bytes, |(_, frame)| frame))?;
    Notify::parse(frame.map_or(bytes, |(_, frame)| frame))?;
    Ok(raw.payload().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_have_the_sizes_they_are_described_with() {
        let lens = Profile::all().map(|profile| profile.frame(0).len());
        assert_eq!(lens[1], 67);
        assert!((750..1100).contains(&lens[2]), "{lens:?}");
        assert!((690..730).contains(&HEADERS.len()), "{}", HEADERS.len());
    }

    #[test]
    fn a_payload_is_found_with_and_without_the_length_prefix() {
        let profile = Profile::log_request();
        let frame = profile.frame(3);
        assert_eq!(payload_of(&frame).unwrap(), profile.payload());
        assert_eq!(payload_of(&frame[LENGTH_PREFIX..]).unwrap(), profile.payload());
    }
}
