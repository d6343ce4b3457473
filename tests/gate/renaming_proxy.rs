//! A TCP proxy before the simulator that renames an element of responses, so that EC2 seems not to report it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts a proxy before this endpoint that replaces `from` with `to`, which has as many bytes. Returns its endpoint.
pub async fn renaming(endpoint: &str, from: &'static str, to: &'static str) -> String {
    assert_eq!(from.len(), to.len(), "the length of the response stays");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let address = endpoint.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&address).await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                // The responses of these tests are small enough to be read at once.
                let mut bytes = vec![0; 1 << 20];
                while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                    let sent = replaced(&bytes[..count], from.as_bytes(), to.as_bytes());
                    if to_client.write_all(&sent).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut sent, mut at) = (bytes.to_vec(), 0);
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
        at += found;
        sent[at..at + to.len()].copy_from_slice(to);
        at += to.len();
    }
    sent
}
