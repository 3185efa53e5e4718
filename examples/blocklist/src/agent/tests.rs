use spop_tokio::test::{RequestBuilder, TestHaproxy};
use spop_tokio::{BoxError, ToTypedData, TypedData};

use super::*;
use crate::rule::NEVER;
use crate::source::Intake;

fn request() -> RequestBuilder {
    spop_tokio::Request::builder().message("check-request")
}

async fn agent(lines: Option<&str>, block_unknown: bool) -> Result<TestHaproxy, BoxError> {
    let current = Arc::new(Current::unknown());
    if let Some(lines) = lines {
        let mut intake = Intake::new(&List::default(), 100);
        lines.lines().for_each(|line| intake.set("line", line.as_bytes(), NEVER));
        current.replace(Arc::new(intake.apply_to(&List::default())));
    }
    let server = Agent::new(current, block_unknown).server()?;
    Ok(TestHaproxy::with_server(server).await?)
}

/// What is set, without the ids of the ACK.
async fn actions(haproxy: &mut TestHaproxy, request: RequestBuilder) -> Result<String, BoxError> {
    let ack = haproxy.ask(request).await?.to_string();
    Ok(ack.split_once(' ').map_or("", |(_, actions)| actions).to_owned())
}

async fn answer(haproxy: &mut TestHaproxy, name: &str, value: impl ToTypedData) -> Result<String, BoxError> {
    actions(haproxy, request().arg(name, value)).await
}

#[tokio::test]
async fn every_argument_is_looked_up() -> Result<(), BoxError> {
    let lines = "10.0.0.0/8 until=4000000000 # spam\nallow 10.0.0.1 # us\nhost=a.example\npath^=/x # p\n\
                 method=TRACE # m\nheader^=Evil # h\ncookie=stolen # c";
    let mut haproxy = agent(Some(lines), false).await?;
    let blocked = |reason| format!(r#"txn.blocked=true txn.reason="{reason}""#);
    let ip = |text: &str| text.parse::<IpAddr>();
    let until = blocked("spam") + " txn.until=4000000000";
    assert_eq!(answer(&mut haproxy, "src", ip("10.9.9.9")?).await?, until);
    assert_eq!(answer(&mut haproxy, "src", ip("::ffff:10.9.9.9")?).await?, until);
    assert_eq!(answer(&mut haproxy, "src", ip("10.0.0.1")?).await?, r#"txn.blocked=false txn.reason="us""#);
    assert_eq!(answer(&mut haproxy, "src", ip("192.0.2.1")?).await?, "txn.blocked=false");
    assert_eq!(answer(&mut haproxy, "host", "A.Example.").await?, blocked(""));
    assert_eq!(answer(&mut haproxy, "path", "/xyz").await?, blocked("p"));
    assert_eq!(answer(&mut haproxy, "method", "TRACE").await?, blocked("m"));
    assert_eq!(answer(&mut haproxy, "cookie", "stolen").await?, blocked("c"));
    // A client cannot escape by bytes that are no UTF-8.
    assert_eq!(answer(&mut haproxy, "header", TypedData::Binary(b"Evil\xff")).await?, blocked("h"));
    for nothing in ["src", "path", "host", "else"] {
        assert_eq!(answer(&mut haproxy, nothing, TypedData::Null).await?, "txn.blocked=false");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_list_the_answer_is_the_one_of_the_option() -> Result<(), BoxError> {
    for block in [false, true] {
        let mut haproxy = agent(None, block).await?;
        let want = format!(r#"txn.blocked={block} txn.reason="unknown""#);
        assert_eq!(answer(&mut haproxy, "path", "/").await?, want);
    }
    Ok(())
}

#[tokio::test]
async fn a_message_that_makes_no_sense_is_answered_likewise() -> Result<(), BoxError> {
    let mut haproxy = agent(Some("10.0.0.1"), true).await?;
    let answer = answer(&mut haproxy, "src", "no address").await?;
    assert_eq!(answer, r#"txn.blocked=true txn.reason="unknown" txn.failure="error""#);
    Ok(())
}

#[tokio::test]
async fn a_response_gets_the_note_of_its_client() -> Result<(), BoxError> {
    let mut haproxy = agent(Some("allow 10.0.0.1 # us"), false).await?;
    let ask = |last| {
        let request = spop_tokio::Request::builder().message("check-response");
        request.arg("src", IpAddr::from([10, 0, 0, last]))
    };
    assert_eq!(actions(&mut haproxy, ask(1)).await?, r#"txn.note="us""#);
    assert_eq!(actions(&mut haproxy, ask(2)).await?, "");
    Ok(())
}
