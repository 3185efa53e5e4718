mod agent;
mod profile;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let listener = spop_tokio::SocketListener::bind("127.0.0.1:12345").await?;
    agent::server(agent::Work::default()).serve(listener).await?;
    Ok(())
}
