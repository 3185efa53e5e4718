//! Any bytes as a block of headers, text and binary.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spop::http::{Header, Headers};
use spop::varint;
use spop_fuzz::show;

fuzz_target!(|block: &[u8]| {
    for headers in [Headers::text(block), Headers::binary(block)] {
        show(format_args!("{headers:?}"));
        let all: Vec<_> = headers.iter().collect();
        assert!(all.len() + headers.skipped() <= block.len());
        for header in &all {
            check(*header, block);
        }
        let (map, left_out) = headers.to_header_map();
        assert_eq!(map.len() + left_out, all.len() + headers.skipped());
        for name in map.keys() {
            let values = map.get_all(name).iter().map(|value| value.as_bytes());
            let ours = headers.get_all(name.as_str()).map(|value| value.as_bytes());
            assert!(values.eq(ours.filter(|value| is_value(value))));
        }
        round_trip(&all);
    }
});

/// Both halves lie in the block, in this order, without what cannot be in them.
fn check(header: Header<'_>, block: &[u8]) {
    let (name, value) = (header.name.as_bytes().as_ptr_range(), header.value.as_bytes().as_ptr_range());
    let block = block.as_ptr_range();
    assert!(block.start <= name.start && name.end <= value.start && value.end <= block.end);
    assert!(!header.name.as_bytes().is_empty());
    assert!(!header.name.as_bytes().iter().any(|byte| b" \t\r\n:".contains(byte)));
    let value = header.value.as_bytes();
    assert!(![value.first(), value.last()].iter().any(|byte| matches!(byte, Some(b' ' | b'\t'))));
}

/// What the crate `http` takes.
fn is_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= 32 && byte != 127))
}

/// What was read is read again when it is written in either form.
fn round_trip(headers: &[Header<'_>]) {
    let mut binary = Vec::new();
    for bytes in headers.iter().flat_map(|header| [header.name, header.value]) {
        let bytes = bytes.as_bytes();
        binary.extend_from_slice(varint::encode(bytes.len() as u64, &mut [0; varint::MAX_LEN]));
        binary.extend_from_slice(bytes);
    }
    assert!(Headers::binary(&binary).iter().eq(headers.iter().copied()));
    if headers
        .iter()
        .any(|header| header.value.as_bytes().contains(&b'\n') || header.value.as_bytes().ends_with(b"\r"))
    {
        return;
    }
    let lines = headers
        .iter()
        .map(|header| [header.name.as_bytes(), b": ", header.value.as_bytes(), b"\r\n"].concat());
    let text: Vec<u8> = lines.flatten().collect();
    assert!(Headers::text(&text).iter().eq(headers.iter().copied()));
}
