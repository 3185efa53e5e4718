//! `spop-dump`: captures made here, a real HAProxy through its proxy, and a replay to a real agent.

mod pcap;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use pcap::{ACK, From, conversation, ethernet, pcapng, segment};
use spop::{AckWriter, NotifyId, Scope};
use tempfile::NamedTempFile;
use testbed::check::Hello;
use testbed::check::wire::{message, notify, value};
use testbed::{AgentProcess, Backend, Config, HaproxyProcess, Random, Spoe, build_example, haproxies, http};

const SOON: Duration = Duration::from_secs(60);
const ETHERNET: u32 = 1;

/// What spop-dump printed, and whether it was content.
fn dump(args: &[&str]) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_spop-dump")).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.code().is_some_and(|code| code < 2), "{:?}: {text}", output.status);
    (text, output.status.success())
}

/// A file with `bytes`, which is removed when it is dropped.
struct File(NamedTempFile);

impl File {
    fn new(bytes: impl AsRef<[u8]>) -> Self {
        let file = NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

fn request() -> Vec<u8> {
    notify((1, 1), &message(b"check-client-ip", &[("ip", value::ip(IpAddr::V4(Ipv4Addr::LOCALHOST)))]))
}

fn answer() -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    let mut ack = AckWriter::new(NotifyId { stream_id: 1, frame_id: 1 }, 16_380, &mut out);
    ack.set_var(Scope::Session, "ip_score", 42).unwrap();
    ack.finish();
    out.to_vec()
}

const EXCHANGE: &str = "\
#1 0.000000 -- 127.0.0.1:40000 to 127.0.0.1:12345
#1 0.003000 NOTIFY 1/1, 32 bytes
    check-client-ip ip=127.0.0.1
#1 0.004000 ACK 1/1, 21 bytes
    set-var sess.ip_score = 42 (INT32)
#1 0.006000 -- end
";

/// A NOTIFY and its ACK, and what is shown of them.
fn exchange() -> Vec<Vec<u8>> {
    conversation(&[(From::Haproxy, &request()), (From::Agent, &answer())])
}

#[test]
fn captures_of_each_format_and_link_show_the_same_frames() {
    let link = |header: &[u8]| exchange().iter().map(|ip| [header, ip].concat()).collect::<Vec<_>>();
    let on_ethernet: Vec<_> = exchange().iter().map(|ip| ethernet(ip)).collect();
    let mut sll2 = [0; 20];
    sll2[0] = 8;
    let sll = [&[0; 14][..], &[8, 0]].concat();
    for (name, file) in [
        ("Ethernet", pcap::pcap(ETHERNET, &on_ethernet)),
        ("pcapng", pcapng(1, &on_ethernet)),
        ("raw IP", pcap::pcap(101, &exchange())),
        ("NULL", pcap::pcap(0, &link(&[2, 0, 0, 0]))),
        ("SLL", pcap::pcap(113, &link(&sll))),
        ("SLL2", pcap::pcap(276, &link(&sll2))),
    ] {
        let file = File::new(file);
        assert_eq!(dump(&[file.path()]), (EXCHANGE.to_owned(), true), "{name}");
    }
}

#[test]
fn segments_that_are_cut_late_or_sent_twice_make_the_same_frames() {
    let (question, answer) = (request(), answer());
    let [a, b, c] = [&question[..3], &question[3..20], &question[20..]];
    let mut packets =
        conversation(&[(From::Haproxy, a), (From::Haproxy, b), (From::Haproxy, c), (From::Agent, &answer)]);
    packets.swap(4, 5);
    let again = packets[3].clone();
    packets.insert(6, again);
    let file = File::new(pcap::pcap(101, &packets));
    let (text, _) = dump(&[file.path()]);
    let without_times = |text: &str| {
        text.lines()
            .map(|line| line.split(' ').filter(|word| !word.starts_with("0.")).collect())
            .collect::<Vec<String>>()
    };
    assert_eq!(without_times(&text), without_times(EXCHANGE));
}

#[test]
fn bytes_that_are_missing_in_a_capture_are_told_of() {
    let (question, answer) = (request(), answer());
    let mut packets = conversation(&[
        (From::Haproxy, &question[..9]),
        (From::Haproxy, &question[9..]),
        (From::Agent, &answer),
    ]);
    packets.remove(3);
    let file = File::new(pcap::pcap(101, &packets));
    let (text, _) = dump(&[file.path()]);
    assert!(text.contains("bytes are missing in the capture") && text.contains("ACK 1/1"), "{text}");
    assert!(!text.contains("NOTIFY"), "{text}");
}

#[test]
fn a_capture_can_start_within_a_connection_and_have_others() {
    let http = segment(From::Haproxy, 5, ACK, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let file = File::new(pcap::pcap(101, &[http]));
    let (text, well) = dump(&[file.path()]);
    assert!(text.contains("no SPOP at \"GET / HTTP/1.1\\r\\n\"") && well, "{text}");
    assert_eq!(dump(&["--port", "80", file.path()]), (String::new(), true));
    let file = File::new(pcap::pcap(101, &exchange()[3..4]));
    assert!(dump(&[file.path()]).0.contains("NOTIFY 1/1"));
}

#[test]
fn hex_and_plain_frames_are_read_too() {
    let shown = "#1 NOTIFY 1/1, 32 bytes\n    check-client-ip ip=127.0.0.1\n#1 -- end\n";
    let hex: String = request().iter().map(|byte| format!("{byte:02x} ")).collect();
    for (name, file) in
        [("frames", request()), ("hex", hex.clone().into()), ("without length", hex[12..].into())]
    {
        let file = File::new(file);
        assert_eq!(dump(&[file.path()]), (shown.to_owned(), true), "{name}");
    }
    assert_eq!(dump(&["--hex", &hex]), (shown.to_owned(), true));
    let (text, well) = dump(&["--hex", "03 0g"]);
    assert!(text.contains("line 1: neither hex") && !well, "{text}");
}

#[test]
fn a_damaged_capture_ends_with_a_word_and_never_with_a_panic() {
    let random = Random::new(1);
    for file in [pcap::pcap(101, &exchange()), pcapng(101, &exchange())] {
        let cut = File::new(&file[..file.len() - 5]);
        let (text, well) = dump(&[cut.path()]);
        assert!(text.contains("ends within a packet") && text.contains("ACK 1/1") && !well, "{text}");
        for _ in 0..100 {
            let mut damaged = file.clone();
            for _ in 0..3 {
                let at = random.below(damaged.len() as u64) as usize;
                damaged[at] = random.below(256) as u8;
            }
            // It checks the exit code.
            dump(&[File::new(damaged).path()]);
        }
    }
}

/// An agent that gives each address the score of a seed.
async fn reputation(seed: &str) -> AgentProcess {
    let mut command = Command::new(build_example("ip-reputation").unwrap());
    command.args(["--listen", "127.0.0.1:0", "--seed", seed]);
    AgentProcess::start(command, SOON).await.unwrap()
}

#[tokio::test]
async fn the_proxy_shows_what_haproxy_and_an_agent_say() {
    let agent = reputation("2").await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_spop-dump"));
    command.args(["--proxy", "127.0.0.1:0", &agent.address().unwrap()]);
    let proxy = AgentProcess::start(command, SOON).await.unwrap();
    let backend = Backend::start().await.unwrap();
    let spoe = Spoe::new("iprep").message("check-client-ip", &["args ip=src", "event on-client-session"]);
    let config = Config::http(&spoe)
        .frontend("http-after-response set-header x-score %[var(sess.iprep.ip_score)]")
        .agent(proxy.address().unwrap())
        .backend(backend.addr());
    let version = haproxies().unwrap().pop().unwrap();
    let haproxy = HaproxyProcess::start(&version, &config).await.unwrap();
    haproxy.wait_server_status("agents", "agent1", "UP", SOON).await.unwrap();
    let response = http::get(haproxy.http(), "/", &[]).await.unwrap();
    let score = response.header("x-score").unwrap();

    let set = format!("    set-var sess.ip_score = {score} (");
    proxy.wait_for_log("the answer", SOON, |line| line.starts_with(&set)).await.unwrap();
    let lines = proxy.logs().all();
    let at =
        |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text}"));
    assert!(at("HAPROXY-HELLO") < at("AGENT-HELLO") && at("AGENT-HELLO") < at("NOTIFY"));
    assert!(at("NOTIFY") < at("check-client-ip ip=127.0.0.1") && at("NOTIFY") < at("ACK"));
}

#[tokio::test]
async fn the_proxy_says_that_nobody_listens_behind_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spop-dump"));
    // Nobody has a socket there.
    command.args(["--proxy", "127.0.0.1:0", "unix:/nonexistent/agent.sock"]);
    let proxy = AgentProcess::start(command, SOON).await.unwrap();
    let mut client = TcpStream::connect(proxy.address().unwrap()).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    proxy
        .wait_for_log("why", SOON, |line| line.contains("cannot connect to unix:/nonexistent"))
        .await
        .unwrap();
}

/// Sends frames one by one, and returns them with what came back.
fn converse(address: &str, frames: &[Vec<u8>]) -> Vec<(From, Vec<u8>)> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut parts = Vec::new();
    for frame in frames {
        stream.write_all(frame).unwrap();
        let mut len = [0; 4];
        stream.read_exact(&mut len).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut answer).unwrap();
        parts.extend([(From::Haproxy, frame.clone()), (From::Agent, [&len[..], &answer].concat())]);
    }
    parts
}

#[tokio::test]
async fn a_replay_tells_whether_an_agent_answers_as_in_the_capture() {
    let agent = reputation("2").await;
    let address = agent.address().unwrap();
    let parts = converse(&address, &[Hello::from_3_1().frame(), request()]);
    let parts: Vec<_> = parts.iter().map(|(from, bytes)| (*from, &bytes[..])).collect();
    let capture = File::new(pcap::pcap(101, &conversation(&parts)));

    let (text, well) = dump(&["--replay", &address, capture.path()]);
    assert!(text.contains("1 answers as in the file, 0 not as") && well, "{text}");
    let other = reputation("3").await;
    let (text, well) = dump(&["--replay", &other.address().unwrap(), capture.path()]);
    assert!(
        text.contains("the file has another answer: ACK 1/1") && text.contains("1 not as") && !well,
        "{text}"
    );
}

#[tokio::test]
async fn a_replay_of_a_request_alone_begins_with_a_hello() {
    let agent = reputation("2").await;
    let file = File::new(request());
    let (text, well) = dump(&["--replay", &agent.address().unwrap(), file.path()]);
    assert!(
        text.contains("sending one")
            && text.contains("AGENT-HELLO")
            && text.contains("set-var sess.ip_score"),
        "{text}"
    );
    assert!(text.contains("1 that the file lacks") && well, "{text}");
}

#[tokio::test]
async fn a_replay_to_an_agent_that_does_not_answer_ends_in_time() {
    let agent = reputation("2").await;
    agent.freeze().unwrap();
    let file = File::new(request());
    let (text, well) = dump(&["--timeout", "0.1", "--replay", &agent.address().unwrap(), file.path()]);
    assert!(text.contains("want AGENT-HELLO: nothing came in time") && !well, "{text}");
}
