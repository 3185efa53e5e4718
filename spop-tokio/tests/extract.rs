//! What a handler can ask for, and what it can return.

mod support;

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{Ack, TypedData};
use spop_tokio::{
    Actions, BoxError, ConnectionInfo, EngineId, FromMessage, FromRef, IntoActions, MessageRef,
    MessageRequest, OwnedHeaders, Peer, Request, Router, Server, State, Var,
};
use support::{Haproxy, failure_of, serve};

const SEEN: Var = Var::transaction("seen");
const SCORE: Var = Var::session("ip_score");

/// The answer to message `m` with these arguments.
async fn ask(router: Router, args: &[(&str, TypedData<'_>)]) -> Ack<Bytes> {
    let (io, _serving) = serve(Server::new(router), 1 << 16);
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Mux).engine_id(b"engine")).await;
    let (_, bytes) = haproxy.notify_with("m", args);
    haproxy.send(&bytes).await;
    haproxy.ack().await
}

/// The actions of the answer to a message without arguments.
async fn answer_of<R: IntoActions + 'static>(answer: impl Fn() -> R + Send + Sync + 'static) -> String {
    actions(&ask(Router::new().message("m", answer), &[]).await)
}

fn actions(ack: &Ack<Bytes>) -> String {
    let actions: Vec<_> = ack.actions().map(|action| action.to_string()).collect();
    actions.join(" ")
}

#[tokio::test]
async fn a_plain_function_is_a_handler() {
    fn plain(request: MessageRequest) -> (Var, String) {
        (SEEN, request.name().to_string())
    }
    assert_eq!(actions(&ask(Router::new().message("m", plain), &[]).await), r#"txn.seen="m""#);
}

#[tokio::test]
async fn an_async_function_is_a_handler() {
    async fn waits(request: MessageRequest) -> (Var, String) {
        tokio::task::yield_now().await;
        (SEEN, request.name().to_string())
    }
    assert_eq!(actions(&ask(Router::new().message("m", waits), &[]).await), r#"txn.seen="m""#);
}

#[tokio::test]
async fn closures_are_handlers() {
    let plain = |request: MessageRequest| (SEEN, request.name().to_string());
    assert_eq!(actions(&ask(Router::new().message("m", plain), &[]).await), r#"txn.seen="m""#);
    let waits = async |request: MessageRequest| (SEEN, request.name().to_string());
    assert_eq!(actions(&ask(Router::new().message("m", waits), &[]).await), r#"txn.seen="m""#);
    let returns = |request: MessageRequest| ready((SEEN, request.name().to_string()));
    assert_eq!(actions(&ask(Router::new().message("m", returns), &[]).await), r#"txn.seen="m""#);
}

#[tokio::test]
async fn the_state_is_given_to_every_handler_that_asks_for_it() {
    let router = Router::new()
        .message("m", |State(limit): State<u32>| (SEEN, limit))
        .fallback(async |State(limit): State<u32>| (SEEN, limit))
        .with_state(7);
    assert_eq!(actions(&ask(router, &[]).await), "txn.seen=7");
}

#[tokio::test]
async fn a_part_of_the_state_is_a_state() {
    #[derive(Clone)]
    struct App {
        limit: u32,
    }
    impl FromRef<App> for u32 {
        fn from_ref(app: &App) -> u32 {
            app.limit
        }
    }
    let look = |State(limit): State<u32>, State(app): State<App>| [(SEEN, limit), (SEEN, app.limit + 1)];
    let router = Router::new().message("m", look).with_state(App { limit: 7 });
    assert_eq!(actions(&ask(router, &[]).await), "txn.seen=7 txn.seen=8");
}

#[tokio::test]
async fn a_handler_can_ask_for_all_that_is_known_of_the_connection() {
    let look = |peer: Peer, id: EngineId, info: ConnectionInfo, request: Request| {
        let same = info.peer() == request.connection().peer();
        (SEEN, format!("{peer} {id} {same} {}", request.messages().len()))
    };
    assert_eq!(
        actions(&ask(Router::new().message("m", look), &[]).await),
        r#"txn.seen="stream engine true 1""#
    );
}

#[tokio::test]
async fn headers_are_found_by_the_usual_names_in_text_and_binary() {
    let look = |headers: OwnedHeaders| (SEEN, headers.view().get("host").map(|host| host.to_string()));
    let text = TypedData::String("host: a.example\r\n\r\n".into());
    let binary = TypedData::Binary(b"\x04host\x09b.example\0\0");
    for (name, value, want) in [("headers", text, "a"), ("hdrs", binary, "b"), ("req_hdrs", text, "a")] {
        let ack = ask(Router::new().message("m", look), &[(name, value)]).await;
        assert_eq!(actions(&ack), format!("txn.seen=\"{want}.example\""));
    }
}

#[tokio::test]
async fn what_is_not_there_fails_the_message_without_a_call() {
    fn never(_: OwnedHeaders) {
        unreachable!("called without headers");
    }
    assert_eq!(failure_of(&ask(Router::new().message("m", never), &[]).await), "error");
}

#[tokio::test]
async fn what_is_not_there_is_none_for_who_asks_for_an_option() {
    let look =
        |headers: Option<OwnedHeaders>, id: Option<EngineId>| (SEEN, headers.is_none() && id.is_some());
    assert_eq!(actions(&ask(Router::new().message("m", look), &[]).await), "txn.seen=true");
}

#[tokio::test]
async fn what_is_not_there_is_an_error_for_who_asks_for_a_result() {
    let look = |headers: Result<OwnedHeaders, spop_tokio::ArgError>| (SEEN, headers.unwrap_err().to_string());
    let want = r#"txn.seen="message m, argument headers: missing""#;
    assert_eq!(actions(&ask(Router::new().message("m", look), &[]).await), want);
}

#[tokio::test]
async fn a_parameter_can_be_a_type_of_the_authors() {
    struct Shard(u64);
    impl<S> FromMessage<S> for Shard {
        type Rejection = BoxError;

        fn from_message(message: &MessageRef<'_>, _: &S) -> Result<Self, BoxError> {
            match message.message().get::<IpAddr>("ip")? {
                IpAddr::V4(ip) => Ok(Self(u64::from(ip.octets()[3]) % 4)),
                IpAddr::V6(_) => Err("no shard for IPv6".into()),
            }
        }
    }
    let router = Router::new().message("m", |Shard(shard): Shard| (SEEN, shard));
    let ip = TypedData::Ipv4(Ipv4Addr::new(192, 0, 2, 7));
    assert_eq!(actions(&ask(router, &[("ip", ip)]).await), "txn.seen=3");
}

#[tokio::test]
async fn every_result_becomes_the_actions_it_stands_for() {
    assert_eq!(answer_of(|| ()).await, "");
    assert_eq!(answer_of(|| Actions::new().set(SEEN, 1)).await, "txn.seen=1");
    assert_eq!(answer_of(|| (SEEN, "x".to_owned())).await, r#"txn.seen="x""#);
    assert_eq!(answer_of(|| Some((SEEN, 1))).await, "txn.seen=1");
    assert_eq!(answer_of(|| None::<Actions>).await, "");
    assert_eq!(answer_of(|| [(SEEN, 1), (SCORE, 2)]).await, "txn.seen=1 sess.ip_score=2");
    assert_eq!(answer_of(|| vec![(SEEN, 1), (SCORE, 2)]).await, "txn.seen=1 sess.ip_score=2");
    assert_eq!(answer_of(|| ((SEEN, "x"), Some((SCORE, 2)), ())).await, r#"txn.seen="x" sess.ip_score=2"#);
    assert_eq!(answer_of(|| Ok::<_, std::io::Error>((SEEN, 1))).await, "txn.seen=1");
}

#[tokio::test]
async fn every_error_that_can_be_a_box_error_is_a_failure() {
    assert_eq!(answer_of(|| Err::<(), _>("text")).await, r#"txn.failure="error""#);
    assert_eq!(answer_of(|| Err::<(), _>(std::io::Error::other("io"))).await, r#"txn.failure="error""#);
    assert_eq!(answer_of(|| Err::<(), _>(BoxError::from("boxed"))).await, r#"txn.failure="error""#);
    assert_eq!(
        answer_of(|| (Ok::<_, BoxError>((SEEN, 1)), Err::<(), _>("text"))).await,
        r#"txn.failure="error""#
    );
}

#[cfg(feature = "serde")]
mod with_serde {
    use serde::{Deserialize, Serialize};
    use spop_tokio::{Args, Fields, Service};

    use super::*;

    #[derive(Deserialize)]
    struct Check {
        ip: Option<IpAddr>,
        path: String,
        hdrs: Option<OwnedHeaders>,
    }

    fn check(Args(check): Args<Check>) -> (Var, String) {
        let host = check.hdrs.as_ref().and_then(|headers| headers.view().get("host"));
        (SEEN, format!("{:?} {} {:?}", check.ip, check.path, host))
    }

    #[tokio::test]
    async fn args_are_a_type_that_derives_deserialize() {
        let path = ("path", TypedData::String("/a".into()));
        let router = || Router::new().message("m", check);
        assert_eq!(actions(&ask(router(), &[path]).await), r#"txn.seen="None /a None""#);
        let ip = ("ip", TypedData::Ipv4(Ipv4Addr::LOCALHOST));
        let hdrs = ("hdrs", TypedData::String("host: x\r\n\r\n".into()));
        let want = r#"txn.seen="Some(127.0.0.1) /a Some(\"x\")""#;
        assert_eq!(actions(&ask(router(), &[ip, path, hdrs]).await), want);
    }

    #[tokio::test]
    async fn an_argument_that_is_not_there_fails_the_message() {
        assert_eq!(failure_of(&ask(Router::new().message("m", check), &[]).await), "error");
    }

    #[tokio::test]
    async fn borrowed_fields_are_read_through_the_message() {
        #[derive(Deserialize)]
        struct Borrowed<'a> {
            path: &'a str,
        }
        async fn look(request: MessageRequest) -> Result<(Var, String), spop_tokio::ArgError> {
            let Borrowed { path } = request.deserialize()?;
            tokio::task::yield_now().await;
            Ok((SEEN, path.to_owned()))
        }
        let args = [("path", TypedData::String("/a".into()))];
        assert_eq!(actions(&ask(Router::new().message("m", look), &args).await), r#"txn.seen="/a""#);
    }

    #[tokio::test]
    async fn a_struct_is_a_variable_for_each_field() {
        #[derive(Serialize)]
        struct Verdict {
            user: Option<String>,
            allow: bool,
        }
        let verdict = || Fields::transaction(Verdict { user: None, allow: true });
        assert_eq!(answer_of(verdict).await, "txn.user=NULL txn.allow=true");
    }

    #[test]
    fn a_router_knows_the_arguments_of_its_handlers() {
        let router =
            Router::new().message("a", check).message("b", |_: Option<Args<Check>>| ()).message("c", || ());
        let messages = router.messages();
        let args: Vec<_> = messages.iter().map(|message| message.args).collect();
        let check = Some(&["ip", "path", "hdrs"][..]);
        assert_eq!(args, [check, check, None]);
    }
}
