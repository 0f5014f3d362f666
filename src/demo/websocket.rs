//! A WebSocket that sends back what it gets.
//!
//! *Source:* RFC 6455 §4.2.2, §5.2.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// RFC 6455 §1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Opens the tunnel and echoes until the other side closes it.
pub(super) async fn echo(stream: &mut BufReader<TcpStream>, key: &str) -> io::Result<()> {
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes()));
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    // Pingora 0.9.1 may take the end of the request for the end of the tunnel when the answer is there first.
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    loop {
        let (opcode, payload) = read_frame(stream).await?;
        // A ping is answered by a pong (§5.5.3), a close by a close (§5.5.1), all else by itself.
        let answer = if opcode == 0x9 { 0xa } else { opcode };
        write_frame(stream, answer, &payload).await?;
        if opcode == 0x8 {
            return Ok(());
        }
    }
}

async fn read_frame(stream: &mut BufReader<TcpStream>) -> io::Result<(u8, Vec<u8>)> {
    let opcode = stream.read_u8().await? & 0x0f;
    let length = match stream.read_u8().await? & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    if length > 1 << 20 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut payload).await?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok((opcode, payload))
}

async fn write_frame(stream: &mut BufReader<TcpStream>, opcode: u8, payload: &[u8]) -> io::Result<()> {
    stream.write_u8(0x80 | opcode).await?;
    match u16::try_from(payload.len()) {
        Ok(length @ 0..=125) => stream.write_u8(u8::try_from(length).unwrap_or_default()).await?,
        Ok(length) => {
            stream.write_u8(126).await?;
            stream.write_u16(length).await?;
        }
        Err(_) => {
            stream.write_u8(127).await?;
            stream.write_u64(payload.len() as u64).await?;
        }
    }
    stream.write_all(payload).await?;
    stream.flush().await
}
