//! TCP in a packet: link, IP and TCP headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    pub(crate) payload: &'a [u8],
    /// So many bytes of the payload were not captured.
    pub(crate) missing: usize,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;

/// Reads a packet of the link type; `None` if it is not TCP, or a fragment of IP.
pub(crate) fn parse(link: u32, data: &[u8]) -> Option<Segment<'_>> {
    let ip = match link {
        // NULL and LOOP: the address family, which the IP version says as well.
        0 | 108 => data.get(4..)?,
        1 => ethernet(data.get(12..)?)?,
        101 | 228 | 229 => data,
        // Linux's `any`.
        113 => ethernet(data.get(14..)?)?,
        276 => of_type(read16(data, 0)?, data.get(20..)?)?,
        _ => return None,
    };
    let (from, to, tcp, missing) = match ip.first()? >> 4 {
        4 => ipv4(ip)?,
        6 => ipv6(ip)?,
        _ => return None,
    };
    let (header, flags) = (usize::from(tcp.get(12)? >> 4) * 4, *tcp.get(13)?);
    Some(Segment {
        from: SocketAddr::new(from, read16(tcp, 0)?),
        to: SocketAddr::new(to, read16(tcp, 2)?),
        sequence: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
        syn: flags & 2 != 0,
        ack: flags & 16 != 0,
        fin: flags & 1 != 0,
        reset: flags & 4 != 0,
        payload: tcp.get(header..)?,
        missing,
    })
}

fn read16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// From the type of a frame on, which may be behind the tags of virtual networks.
fn ethernet(mut data: &[u8]) -> Option<&[u8]> {
    loop {
        match read16(data, 0)? {
            0x8100 | 0x88a8 => data = data.get(4..)?,
            kind => return of_type(kind, data.get(2..)?),
        }
    }
}

fn of_type(kind: u16, ip: &[u8]) -> Option<&[u8]> {
    matches!(kind, IPV4 | IPV6).then_some(ip)
}

type Ip<'a> = (IpAddr, IpAddr, &'a [u8], usize);

fn ipv4(ip: &[u8]) -> Option<Ip<'_>> {
    let fragment = read16(ip, 6)? & 0x3fff;
    if *ip.get(9)? != TCP || fragment != 0 {
        return None;
    }
    let header = usize::from(ip[0] & 0xf) * 4;
    let address = |at: usize| Some(IpAddr::from(Ipv4Addr::from(*ip.get(at..)?.first_chunk::<4>()?)));
    let (tcp, missing) = content(ip.get(header..)?, usize::from(read16(ip, 2)?).checked_sub(header));
    Some((address(12)?, address(16)?, tcp, missing))
}

fn ipv6(ip: &[u8]) -> Option<Ip<'_>> {
    let address = |at: usize| Some(IpAddr::from(Ipv6Addr::from(*ip.get(at..)?.first_chunk::<16>()?)));
    let (mut rest, missing) =
        content(ip.get(40..)?, Some(usize::from(read16(ip, 4)?)).filter(|&len| len > 0));
    let mut next = *ip.get(6)?;
    // Options for each hop, routing, and options for the destination.
    while matches!(next, 0 | 43 | 60) {
        next = *rest.first()?;
        rest = rest.get(8 + usize::from(*rest.get(1)?) * 8..)?;
    }
    (next == TCP).then_some((address(8)?, address(24)?, rest, missing))
}

/// What of `rest` belongs to the packet of that length, and how much of it was not captured. Without a length, as of a
/// packet that the network card was to cut, it is all.
fn content(rest: &[u8], len: Option<usize>) -> (&[u8], usize) {
    match len {
        Some(len) if len <= rest.len() => (&rest[..len], 0),
        Some(len) => (rest, len - rest.len()),
        None => (rest, 0),
    }
}
