//! Lets requests in by their token, says where they come from, and remembers which responses were errors.

use std::{collections::HashMap, env, net::IpAddr, sync::Arc};

use serde::Deserialize;
use spop_tokio::{
    Actions, Args, BoxError, OwnedHeaders, Router, Server, SocketListener, State, Var, shutdown_signal,
};

const ALLOW: Var = Var::transaction("allow");
const USER: Var = Var::transaction("user");
const COUNTRY: Var = Var::transaction("country");
const NOTE: Var = Var::transaction("note");

type Users = Arc<HashMap<&'static str, &'static str>>;

#[derive(Deserialize)]
struct CheckRequest {
    method: String,
    path: Option<String>,
    src: Option<IpAddr>,
    headers: OwnedHeaders,
}

#[derive(Deserialize)]
struct CheckResponse {
    status: u16,
    backend: Option<String>,
}

/// Stands for a look-up in a database.
async fn country(ip: Option<IpAddr>) -> Result<Option<&'static str>, BoxError> {
    Ok(ip.map(|ip| if ip.is_loopback() { "local" } else { "elsewhere" }))
}

async fn check_request(users: State<Users>, Args(request): Args<CheckRequest>) -> Result<Actions, BoxError> {
    let token = request.headers.view().get("authorization").and_then(|value| value.to_str().ok());
    let user = token.and_then(|token| users.0.get(token.strip_prefix("Bearer ")?));
    let public = request.method == "GET" && request.path.is_some_and(|path| path.starts_with("/public/"));
    let actions = Actions::new().set(ALLOW, public || user.is_some()).set(USER, user);
    Ok(actions.set(COUNTRY, country(request.src).await?))
}

fn check_response(Args(CheckResponse { status, backend }): Args<CheckResponse>) -> Option<(Var, String)> {
    (status >= 500).then(|| (NOTE, format!("{status} of {}", backend.as_deref().unwrap_or("nobody"))))
}

fn agent(users: Users) -> Router {
    let router = Router::new().message("check-request", check_request);
    router.message("check-response", check_response).with_state(users)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let listener = SocketListener::bind(&env::args().nth(1).unwrap_or("127.0.0.1:12345".into())).await?;
    tracing::info!("listening on {listener}");
    let server = Server::new(agent(Arc::new([("secret", "ann")].into())));
    server.serve(listener).with_graceful_shutdown(shutdown_signal()?).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
