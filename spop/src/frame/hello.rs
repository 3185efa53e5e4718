use alloc::vec::Vec;

use bytes::BytesMut;

use super::{EncodeError, OpenFrame, RawFrame, put_item};
use crate::wire::{
    DecodeError, DecodeErrorKind, FrameHeader, FrameType, FromTypedData, NotifyId, Text, TypedData,
};
use crate::{Capabilities, Version};

const SUPPORTED_VERSIONS: &str = "supported-versions";
const VERSION: &str = "version";
const MAX_FRAME_SIZE: &str = "max-frame-size";
const CAPABILITIES: &str = "capabilities";
const ENGINE_ID: &str = "engine-id";
const HEALTHCHECK: &str = "healthcheck";

/// The HAPROXY-HELLO that opens a connection (SPOE.txt 3.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaproxyHello {
    /// `supported-versions`. What is no version is left out.
    pub supported_versions: Vec<Version>,
    /// `max-frame-size`: the longest frame HAProxy takes, in bytes, the length prefix not counted. HAProxy's default is
    /// 16380, `tune.bufsize` - 4; the protocol's minimum is 256.
    pub max_frame_size: u32,
    /// `capabilities`.
    pub capabilities: Capabilities,
    /// `engine-id`: names the engine, one per process and agent (per thread up to 3.0), a new one at every reload.
    /// Opaque. A health check has none.
    pub engine_id: Option<Vec<u8>>,
    /// `healthcheck`: this connection is an `option spop-check` and ends after the AGENT-HELLO.
    pub healthcheck: bool,
}

impl HaproxyHello {
    /// Parses a frame, from its type byte to its end.
    ///
    /// # Errors
    /// [`DecodeErrorKind::NoVersion`], `NoMaxFrameSize` or `NoCapabilities` if a mandatory item is missing, `ItemType`
    /// if an item has the wrong type, or what else is wrong with the frame.
    pub fn parse(frame: &[u8]) -> Result<Self, DecodeError> {
        Self::from_raw(&RawFrame::parse(frame)?)
    }

    pub(crate) fn from_raw<B: AsRef<[u8]>>(raw: &RawFrame<B>) -> Result<Self, DecodeError> {
        raw.expect_control(FrameType::HAPROXY_HELLO)?;
        let (mut versions, mut max_frame_size, mut capabilities) = (None, None, None);
        let (mut engine_id, mut healthcheck) = (None, false);
        raw.for_each_item(|name, value| {
            match name {
                _ if name == SUPPORTED_VERSIONS.as_bytes() => {
                    versions = Some(string(SUPPORTED_VERSIONS, value)?);
                }
                _ if name == MAX_FRAME_SIZE.as_bytes() => max_frame_size = Some(frame_size(value)?),
                _ if name == CAPABILITIES.as_bytes() => capabilities = Some(string(CAPABILITIES, value)?),
                _ if name == ENGINE_ID.as_bytes() => engine_id = Some(string(ENGINE_ID, value)?.to_vec()),
                _ if name == HEALTHCHECK.as_bytes() => healthcheck = typed(HEALTHCHECK, value)?,
                // SPOE.txt 3.2.4: other items may be there.
                _ => {}
            }
            Ok(())
        })?;
        Ok(Self {
            supported_versions: Version::parse_list(
                versions.ok_or_else(|| raw.lacks(DecodeErrorKind::NoVersion))?,
            )
            .collect(),
            max_frame_size: max_frame_size.ok_or_else(|| raw.lacks(DecodeErrorKind::NoMaxFrameSize))?,
            capabilities: Capabilities::parse(
                capabilities.ok_or_else(|| raw.lacks(DecodeErrorKind::NoCapabilities))?,
            ),
            engine_id,
            healthcheck,
        })
    }

    /// Appends the frame with its length prefix, its items in HAProxy's order.
    ///
    /// # Errors
    /// [`EncodeError::FrameTooBig`] if the frame would be longer than its own `max_frame_size`; `out` is unchanged.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let header = FrameHeader::whole(FrameType::HAPROXY_HELLO, NotifyId::ZERO);
        let mut frame = OpenFrame::new(out, header, self.max_frame_size as usize);
        frame.append(|frame| {
            let versions: Vec<_> = self.supported_versions.iter().map(|v| alloc::format!("{v}")).collect();
            put_item(frame, SUPPORTED_VERSIONS, &versions.join(","));
            put_item(frame, MAX_FRAME_SIZE, self.max_frame_size);
            put_item(frame, CAPABILITIES, &self.capabilities.to_list());
            if let Some(engine_id) = &self.engine_id {
                put_item(frame, ENGINE_ID, Text::new(engine_id));
            }
            if self.healthcheck {
                put_item(frame, HEALTHCHECK, true);
            }
            Ok(())
        })?;
        frame.finish();
        Ok(())
    }
}

/// The AGENT-HELLO that accepts a connection (SPOE.txt 3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentHello {
    /// `version`.
    pub version: Version,
    /// `max-frame-size`: at least 256 and at most what HAProxy offered. Only HAProxy from 3.1 does without it.
    pub max_frame_size: Option<u32>,
    /// `capabilities`. HAProxy takes a missing item for an empty one, but for the health checks of 3.1 and later.
    pub capabilities: Option<Capabilities>,
}

impl AgentHello {
    /// Parses a frame, from its type byte to its end.
    ///
    /// # Errors
    /// [`DecodeErrorKind::NoVersion`] if it has no version, `BadVersion` if that is not `MAJOR.MINOR`, `ItemType` if an
    /// item has the wrong type, or what else is wrong with the frame.
    pub fn parse(frame: &[u8]) -> Result<Self, DecodeError> {
        Self::from_raw(&RawFrame::parse(frame)?)
    }

    pub(crate) fn from_raw<B: AsRef<[u8]>>(raw: &RawFrame<B>) -> Result<Self, DecodeError> {
        raw.expect_control(FrameType::AGENT_HELLO)?;
        let (mut version, mut max_frame_size, mut capabilities) = (None, None, None);
        raw.for_each_item(|name, value| {
            match name {
                _ if name == VERSION.as_bytes() => {
                    let text = string(VERSION, value)?;
                    version = Some(Version::parse(text).ok_or(DecodeErrorKind::BadVersion)?);
                }
                _ if name == MAX_FRAME_SIZE.as_bytes() => max_frame_size = Some(frame_size(value)?),
                _ if name == CAPABILITIES.as_bytes() => {
                    capabilities = Some(Capabilities::parse(string(CAPABILITIES, value)?));
                }
                _ => {}
            }
            Ok(())
        })?;
        let version = version.ok_or_else(|| raw.lacks(DecodeErrorKind::NoVersion))?;
        Ok(Self { version, max_frame_size, capabilities })
    }

    /// Appends the frame with its length prefix.
    pub fn encode(&self, out: &mut BytesMut) {
        let header = FrameHeader::whole(FrameType::AGENT_HELLO, NotifyId::ZERO);
        let mut frame = OpenFrame::new(out, header, u32::MAX as usize);
        // Cannot fail: the items are of bounded size.
        let _ = frame.append(|frame| {
            put_item(frame, VERSION, &alloc::format!("{}", self.version));
            if let Some(size) = self.max_frame_size {
                put_item(frame, MAX_FRAME_SIZE, size);
            }
            if let Some(capabilities) = self.capabilities {
                put_item(frame, CAPABILITIES, &capabilities.to_list());
            }
            Ok(())
        });
        frame.finish();
    }
}

/// Returns the value of an item, of the type it must have.
fn typed<'a, T: FromTypedData<'a>>(
    name: &'static str,
    value: Option<TypedData<'a>>,
) -> Result<T, DecodeErrorKind> {
    value.and_then(|value| T::from_typed_data(value).ok()).ok_or(DecodeErrorKind::ItemType(name))
}

fn string<'a>(name: &'static str, value: Option<TypedData<'a>>) -> Result<&'a [u8], DecodeErrorKind> {
    typed::<Text<'a>>(name, value).map(Text::as_bytes)
}

/// HAProxy sends UINT32 and takes any integer type.
fn frame_size(value: Option<TypedData<'_>>) -> Result<u32, DecodeErrorKind> {
    let size: i128 = match value {
        Some(TypedData::Uint32(size)) => return Ok(size),
        Some(TypedData::Int32(size)) => size.into(),
        Some(TypedData::Int64(size)) => size.into(),
        Some(TypedData::Uint64(size)) => size.into(),
        _ => return Err(DecodeErrorKind::ItemType(MAX_FRAME_SIZE)),
    };
    u32::try_from(size).map_err(|_| DecodeErrorKind::MaxFrameSizeRange)
}

#[cfg(test)]
mod tests;
