//! As much of HTTP/1.1's message format as the client and the backend share.

use std::io::{self, ErrorKind};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Bounds of what is read into memory.
const MAX_HEAD: u64 = 64 * 1024;
const MAX_BODY: u64 = 64 << 20;

/// The first line and the headers of a message.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) first_line: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// How long a body is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// No word about it: a request has no body then, a response has one until the end of the connection.
    Unsaid,
}

impl Head {
    /// Reads a head; `UnexpectedEof` if the connection ends first, with what there was in `got`.
    pub(crate) async fn read(
        source: &mut (impl AsyncBufRead + Unpin),
        got: &mut Vec<u8>,
    ) -> io::Result<Self> {
        let mut source = source.take(MAX_HEAD);
        loop {
            let start = got.len();
            source.read_until(b'\n', got).await?;
            match &got[start..] {
                // A blank line before the first one is allowed.
                b"\r\n" | b"\n" if start == 0 => got.clear(),
                b"\r\n" | b"\n" => return Self::parse(got),
                line if line.ends_with(b"\n") => {}
                _ if source.limit() == 0 => return Err(malformed("head too long")),
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// True if the header `Connection` has the word `close`.
    pub(crate) fn says_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn framing(&self) -> io::Result<Framing> {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Ok(Framing::Chunked);
        }
        let Some(length) = self.header("content-length") else { return Ok(Framing::Unsaid) };
        length.parse().map(Framing::Length).map_err(|_| malformed("content-length"))
    }

    fn parse(head: &[u8]) -> io::Result<Self> {
        // Not everything that a test sends has to be UTF-8.
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let first_line = lines.next().unwrap_or_default().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("header without a colon"))?;
            Ok((name.to_owned(), value.trim().to_owned()))
        };
        let headers = lines.filter(|line| !line.is_empty()).map(header).collect::<io::Result<_>>()?;
        Ok(Self { first_line, headers })
    }
}

/// Reads a body to its end. Its first part is in `body` even if the connection ends too early.
pub(crate) async fn read_body(
    source: &mut (impl AsyncBufRead + Unpin),
    framing: Framing,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    match framing {
        Framing::Length(length) => read_exactly(source, length, body).await?,
        Framing::Unsaid => drop(source.take(MAX_BODY).read_to_end(body).await?),
        Framing::Chunked => while read_chunk(source, body).await? {},
    }
    Ok(())
}

/// Reads one chunk with the blank line behind it; false if it was the last one, which is empty.
async fn read_chunk(source: &mut (impl AsyncBufRead + Unpin), body: &mut Vec<u8>) -> io::Result<bool> {
    let line = read_line(source).await?;
    let size = line.split(';').next().and_then(|size| u64::from_str_radix(size.trim(), 16).ok());
    let size = size.ok_or_else(|| malformed("chunk size"))?;
    read_exactly(source, size, body).await?;
    while !read_line(source).await?.trim().is_empty() {
        // Only behind the last chunk there may be more: trailers.
        if size != 0 {
            return Err(malformed("chunk longer than it says"));
        }
    }
    Ok(size != 0)
}

async fn read_line(source: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    source.take(MAX_HEAD).read_until(b'\n', &mut line).await?;
    if !line.ends_with(b"\n") {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The first value of that name, in any case.
pub(crate) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

async fn read_exactly(
    source: &mut (impl AsyncBufRead + Unpin),
    length: u64,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    if length.saturating_add(body.len() as u64) > MAX_BODY {
        return Err(malformed("body too long"));
    }
    let read = source.take(length).read_to_end(body).await?;
    if read as u64 == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn head(mut bytes: &[u8]) -> io::Result<Head> {
        Head::read(&mut bytes, &mut Vec::new()).await
    }

    async fn body(mut bytes: &[u8], framing: Framing) -> io::Result<(String, usize)> {
        let mut body = Vec::new();
        read_body(&mut bytes, framing, &mut body).await?;
        Ok((String::from_utf8(body).unwrap(), bytes.len()))
    }

    #[tokio::test]
    async fn heads() {
        let read = head(b"\r\nGET / HTTP/1.1\r\nA: 1\r\nContent-Length:3\r\n\r\nabc").await.unwrap();
        assert_eq!(read.first_line, "GET / HTTP/1.1");
        assert_eq!((read.header("a"), read.framing().unwrap()), (Some("1"), Framing::Length(3)));
        assert_eq!(head(b"GET / HT").await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(head(b"").await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(head(b"GET /\r\nno colon\r\n\r\n").await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(head(&[b'x'; 100_000]).await.unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn bodies() {
        assert_eq!(body(b"abcNEXT", Framing::Length(3)).await.unwrap(), ("abc".to_owned(), 4));
        assert_eq!(body(b"abc", Framing::Unsaid).await.unwrap(), ("abc".to_owned(), 0));
        let chunks = b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: t\r\n\r\nNEXT";
        assert_eq!(body(chunks, Framing::Chunked).await.unwrap(), ("abc".to_owned(), 4));
        for cut in [&chunks[..0], &chunks[..5], &chunks[..7], &chunks[..20], &chunks[..32]] {
            assert_eq!(
                body(cut, Framing::Chunked).await.unwrap_err().kind(),
                ErrorKind::UnexpectedEof,
                "{cut:?}"
            );
        }
        assert_eq!(body(b"ab", Framing::Length(3)).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(body(b"", Framing::Length(u64::MAX)).await.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
