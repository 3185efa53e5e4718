//! Captures out of known bytes.

/// From HAProxy to the agent, or back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Haproxy,
    Agent,
}

pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;

/// A TCP segment between two ports of 127.0.0.1, below IPv4.
pub(crate) fn segment(from: From, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (source, target) = if from == From::Haproxy { (40_000u16, 12_345u16) } else { (12_345, 40_000) };
    let len = u16::try_from(40 + payload.len()).unwrap();
    let mut ip = vec![0x45, 0];
    ip.extend(len.to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    ip.extend(source.to_be_bytes());
    ip.extend(target.to_be_bytes());
    ip.extend(sequence.to_be_bytes());
    ip.extend([0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    ip.extend(payload);
    ip
}

pub(crate) fn ethernet(ip: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    frame.extend(ip);
    // Ethernet has no shorter ones.
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A capture of packets that are a millisecond apart.
pub(crate) fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, link] {
        file.extend(field.to_le_bytes());
    }
    for (index, packet) in (0u32..).zip(packets) {
        let len = u32::try_from(packet.len()).unwrap();
        for field in [1_700_000_000, index * 1000, len, len] {
            file.extend(field.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// The same as pcapng, big-endian, with a block in between that means nothing here.
pub(crate) fn pcapng(link: u16, packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file =
        block(0x0a0d_0d0a, &[&0x1a2b_3c4du32.to_be_bytes()[..], &[0, 1, 0, 0], &[0xff; 8]].concat());
    // if_tsresol: nanoseconds
    let interface = [&link.to_be_bytes()[..], &[0; 6], &[0, 9, 0, 1, 9, 0, 0, 0], &[0; 4]].concat();
    file.extend(block(1, &interface));
    file.extend(block(4, b"names"));
    for (index, packet) in (0u64..).zip(packets) {
        let at = 1_700_000_000_000_000_000 + index * 1_000_000;
        let len = u32::try_from(packet.len()).unwrap().to_be_bytes();
        file.extend(block(6, &[&[0; 4][..], &at.to_be_bytes(), &len, &len, packet].concat()));
    }
    file
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let len = u32::try_from(body.len() + 12).unwrap().to_be_bytes();
    [&kind.to_be_bytes()[..], &len, &body, &len].concat()
}

/// A connection in which each part is one segment, with its handshake and its end.
pub(crate) fn conversation(parts: &[(From, &[u8])]) -> Vec<Vec<u8>> {
    // The numbers pass 0 on the way.
    let mut next = [0xffff_fff0u32, 7];
    let index = |from| usize::from(from == From::Agent);
    let mut packets = vec![
        segment(From::Haproxy, next[0].wrapping_sub(1), SYN, b""),
        segment(From::Agent, next[1] - 1, SYN | ACK, b""),
        segment(From::Haproxy, next[0], ACK, b""),
    ];
    for &(from, payload) in parts {
        let sequence = &mut next[index(from)];
        packets.push(segment(from, *sequence, ACK, payload));
        *sequence = sequence.wrapping_add(u32::try_from(payload.len()).unwrap());
    }
    packets.extend([From::Haproxy, From::Agent].map(|from| segment(from, next[index(from)], FIN | ACK, b"")));
    packets
}
