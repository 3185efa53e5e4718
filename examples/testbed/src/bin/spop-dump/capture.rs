//! Capture files: pcap, and as much of pcapng as has packets.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

/// Larger than any packet on loopback.
const MAX_PACKET: usize = 1 << 20;
/// Interfaces of a pcapng file.
const MAX_INTERFACES: usize = 1024;

pub(crate) const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;

/// A captured packet.
#[derive(Debug, Default)]
pub(crate) struct Packet {
    /// The link type, `LINKTYPE_` of tcpdump's list.
    pub(crate) link: u32,
    /// When, since 1970.
    pub(crate) at: Duration,
    pub(crate) data: Vec<u8>,
}

/// Reads a capture packet by packet.
pub(crate) struct Capture<R> {
    input: R,
    big_endian: bool,
    format: Format,
}

enum Format {
    Pcap { link: u32, ticks: u64 },
    Pcapng { interfaces: Vec<Interface> },
}

#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    ticks: u64,
}

/// True if a file that starts like this is a capture.
pub(crate) fn is_capture(magic: [u8; 4]) -> bool {
    magic == PCAPNG || byte_order(magic).is_some()
}

/// The byte order of a pcap file, and how many of its units make a second.
fn byte_order(magic: [u8; 4]) -> Option<(bool, u64)> {
    [true, false].into_iter().find_map(|big_endian| match number(&magic, big_endian) {
        MICROSECONDS => Some((big_endian, 1_000_000)),
        NANOSECONDS => Some((big_endian, 1_000_000_000)),
        _ => None,
    })
}

fn number(bytes: &[u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the capture is damaged: {what}"))
}

impl<R: Read> Capture<R> {
    /// Reads the file's header, of which `magic` was read already.
    pub(crate) fn open(magic: [u8; 4], mut input: R) -> io::Result<Self> {
        let Some((big_endian, ticks)) = byte_order(magic) else {
            let mut capture =
                Self { input, big_endian: false, format: Format::Pcapng { interfaces: Vec::new() } };
            capture.section()?;
            return Ok(capture);
        };
        let mut header = [0; 20];
        input.read_exact(&mut header)?;
        let link = number(header.last_chunk().unwrap_or(&[0; 4]), big_endian) & 0xffff;
        Ok(Self { input, big_endian, format: Format::Pcap { link, ticks } })
    }

    /// The next packet, or `None` at the end of the file.
    pub(crate) fn next(&mut self) -> io::Result<Option<Packet>> {
        loop {
            let Some(first) = self.first_number()? else { return Ok(None) };
            match &self.format {
                &Format::Pcap { link, ticks } => {
                    let (fraction, len, _) = (self.number()?, self.number()?, self.number()?);
                    let at = u64::from(first) * ticks + u64::from(fraction);
                    return Ok(Some(Packet { link, at: since(at, ticks), data: self.bytes(len as usize)? }));
                }
                Format::Pcapng { .. } if first == u32::from_be_bytes(PCAPNG) => self.section()?,
                Format::Pcapng { .. } => {
                    if let Some(packet) = self.block(first)? {
                        return Ok(Some(packet));
                    }
                }
            }
        }
    }

    /// The number that a packet or block starts with; `None` if the file ends before it.
    fn first_number(&mut self) -> io::Result<Option<u32>> {
        let mut bytes = [0; 4];
        match self.input.read(&mut bytes[..1])? {
            0 => return Ok(None),
            _ => self.input.read_exact(&mut bytes[1..])?,
        }
        Ok(Some(number(&bytes, self.big_endian)))
    }

    fn number(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.input.read_exact(&mut bytes)?;
        Ok(number(&bytes, self.big_endian))
    }

    fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        if len > MAX_PACKET {
            return Err(damaged(&format!("a packet or block of {len} bytes")));
        }
        let mut bytes = vec![0; len];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// A section header, from which on byte order and interfaces are others.
    fn section(&mut self) -> io::Result<()> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes)?;
        let [length, order] = [0, 4].map(|at| [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        self.big_endian = match u32::from_be_bytes(order) {
            0x1a2b_3c4d => true,
            0x4d3c_2b1a => false,
            _ => return Err(damaged("no byte order in a section header")),
        };
        self.format = Format::Pcapng { interfaces: Vec::new() };
        let rest = (number(&length, self.big_endian) as usize).checked_sub(12);
        self.bytes(rest.ok_or_else(|| damaged("a section header too short"))?).map(drop)
    }

    fn block(&mut self, kind: u32) -> io::Result<Option<Packet>> {
        let len = self.number()? as usize;
        let too_short = || damaged(&format!("a block of {len} bytes"));
        // Its length stands at both ends.
        let body = self.bytes(len.checked_sub(12).ok_or_else(too_short)?)?;
        self.number()?;
        let order = self.big_endian;
        let field = |at: usize| Some(number(body.get(at..)?.first_chunk()?, order));
        let Format::Pcapng { interfaces } = &mut self.format else { return Ok(None) };
        let interface = |index: u32| {
            let found = interfaces.get(index as usize).copied();
            found.ok_or_else(|| damaged("a packet of an interface that was not described"))
        };
        match kind {
            1 if interfaces.len() < MAX_INTERFACES => {
                let link = field(0).ok_or_else(too_short)?;
                let link = if order { link >> 16 } else { link & 0xffff };
                interfaces.push(Interface { link, ticks: ticks(&body, order) });
                Ok(None)
            }
            1 => Err(damaged("too many interfaces")),
            // Simple packet: no time, and the first interface.
            3 => {
                let original = field(0).ok_or_else(too_short)? as usize;
                let data = body[4..].iter().copied().take(original).collect();
                Ok(Some(Packet { link: interface(0)?.link, at: Duration::ZERO, data }))
            }
            6 => {
                let fields = (field(0), field(4), field(8), field(12));
                let (Some(index), Some(high), Some(low), Some(len)) = fields else { return Err(too_short()) };
                let Interface { link, ticks } = interface(index)?;
                let data =
                    body.get(20..).and_then(|rest| rest.get(..len as usize)).ok_or_else(too_short)?.to_vec();
                let at = since(u64::from(high) << 32 | u64::from(low), ticks);
                Ok(Some(Packet { link, at, data }))
            }
            _ => Ok(None),
        }
    }
}

fn since(at: u64, ticks: u64) -> Duration {
    let nanoseconds = u128::from(at % ticks) * 1_000_000_000 / u128::from(ticks);
    Duration::new(at / ticks, u32::try_from(nanoseconds).unwrap_or_default())
}

/// How many units of time make a second, out of an interface's options (`if_tsresol`): by default a million.
fn ticks(body: &[u8], big_endian: bool) -> u64 {
    const RESOLUTION: u16 = 9;
    let mut options = body.get(8..).unwrap_or_default();
    while let Some((&[a, b, c, d], rest)) = options.split_first_chunk() {
        let read = |bytes| if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let (code, len) = (read([a, b]), usize::from(read([c, d])));
        if code == RESOLUTION
            && let Some(&power) = rest.first()
        {
            let base: u64 = if power & 0x80 == 0 { 10 } else { 2 };
            return base.checked_pow(u32::from(power & 0x7f)).unwrap_or(1_000_000);
        }
        options = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    1_000_000
}
