use spop_tokio::Request;
use spop_tokio::test::{RequestBuilder, TestHaproxy};

use super::*;

fn users() -> Users {
    Arc::new(HashMap::from([("secret", "ann")]))
}

fn request(path: &str, headers: &str) -> RequestBuilder {
    let request = Request::builder().message("check-request").arg("method", "GET").arg("path", path);
    request.arg("src", IpAddr::from([127, 0, 0, 1])).arg("headers", headers)
}

// A handler alone: it is a function.
#[test]
fn a_response_that_is_an_error_gets_a_note() {
    let note = |status, backend: Option<&str>| {
        let backend = backend.map(str::to_owned);
        check_response(Args(CheckResponse { status, backend }))
    };
    assert_eq!(note(200, Some("web")), None);
    assert_eq!(note(503, Some("web")), Some((NOTE, "503 of web".to_owned())));
    assert_eq!(note(503, None), Some((NOTE, "503 of nobody".to_owned())));
}

#[tokio::test]
async fn what_is_public_is_for_everybody() {
    let request = CheckRequest {
        method: "GET".into(),
        path: Some("/public/a".into()),
        src: None,
        headers: OwnedHeaders::default(),
    };
    let actions = check_request(State(users()), Args(request)).await.unwrap();
    assert_eq!(actions.to_string(), "txn.allow=true txn.user=NULL txn.country=NULL");
}

// The whole agent, in memory.
#[tokio::test]
async fn a_token_is_that_of_its_user() {
    let mut haproxy = TestHaproxy::new(agent(users())).await.unwrap();
    let answer = haproxy.ask(request("/", "authorization: Bearer secret\r\n\r\n")).await.unwrap();
    assert_eq!(answer.get(ALLOW), Some(true.into()));
    assert_eq!(answer.get(USER), Some("ann".into()));
    assert_eq!(answer.get(COUNTRY), Some("local".into()));
    let answer = haproxy.ask(request("/", "authorization: Bearer guess\r\n\r\n")).await.unwrap();
    assert_eq!(answer.get(ALLOW), Some(false.into()));
    haproxy.disconnect().await.unwrap();
}
