//! As much of HTTP/1.0 as the managers' interfaces need, on loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// One request; the body of the answer, or why there is none.
pub fn request(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(failed)?;
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(format!("{head}\n{body}")) }
}

pub fn get(port: u16, path: &str) -> Result<Value, String> {
    let body = request(port, "GET", path, "", "")?;
    serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))
}

/// Text as part of a URL.
pub fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
