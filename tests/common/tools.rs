//! Reads what net-snmp's command line tools print.
//!
//! The tools run with `-On -Oe -OU -Ox`: numbers for names and enumerations, no units, every octet string in hex, so that nothing of a value is lost.

use super::process::Ran;
use super::value::{SnmpError, Value};

/// The output options that this module reads.
pub const FORMAT: &str = "-OneUx";

/// The variable bindings that a tool printed, exceptions included.
pub fn parse(ran: &Ran) -> Result<Vec<(String, Value)>, SnmpError> {
    if ran.code != 0 {
        let complaint = format!("{}{}", ran.stderr, ran.stdout);
        if complaint.contains("Timeout") {
            return Err(SnmpError::Timeout);
        }
        if let Some((_, reason)) = complaint.split_once("Reason: ") {
            // `Reason: notWritable (That object does not support modification)`
            return Err(SnmpError::Status(
                reason.split_ascii_whitespace().next().unwrap_or_default().trim_matches(['(', ')']).to_owned(),
            ));
        }
        return Err(SnmpError::Tool(format!("exit {}: {complaint}", ran.code)));
    }
    let mut lines: Vec<String> = Vec::new();
    for line in ran.stdout.lines() {
        // Long hex strings go on in lines of their own.
        match lines.last_mut() {
            Some(last) if !line.starts_with('.') => {
                last.push(' ');
                last.push_str(line);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.iter().map(|line| binding(line).ok_or_else(|| SnmpError::Tool(format!("can't read: {line}")))).collect()
}

fn binding(line: &str) -> Option<(String, Value)> {
    let (oid, value) = line.split_once(" = ")?;
    Some((oid.trim_start_matches('.').to_owned(), value_of(value.trim())?))
}

fn value_of(text: &str) -> Option<Value> {
    if text.starts_with("No Such Object") {
        return Some(Value::NoSuchObject);
    }
    if text.starts_with("No Such Instance") {
        return Some(Value::NoSuchInstance);
    }
    if text.starts_with("No more variables left") {
        return Some(Value::EndOfMibView);
    }
    if text == "\"\"" {
        return Some(Value::OctetString(Vec::new()));
    }
    if text == "NULL" {
        return Some(Value::Null);
    }
    let (kind, value) = text.split_once(": ")?;
    Some(match kind {
        "INTEGER" => Value::Integer(value.parse().ok()?),
        "Counter32" => Value::Counter32(value.parse().ok()?),
        "Counter64" => Value::Counter64(value.parse().ok()?),
        "Gauge32" => Value::Gauge32(value.parse().ok()?),
        "Timeticks" => Value::TimeTicks(value.strip_prefix('(')?.split_once(')')?.0.parse().ok()?),
        "STRING" => Value::OctetString(value.trim_matches('"').into()),
        "Hex-STRING" | "BITS" => Value::OctetString(hex(value)?),
        "OID" => Value::Oid(value.trim_start_matches('.').to_owned()),
        "IpAddress" | "Network Address" => Value::IpAddress(value.parse().ok()?),
        "OPAQUE" | "Opaque" => Value::Opaque(value.into()),
        _ => return None,
    })
}

fn hex(text: &str) -> Option<Vec<u8>> {
    text.split_ascii_whitespace().map(|octet| u8::from_str_radix(octet, 16).ok()).collect()
}
