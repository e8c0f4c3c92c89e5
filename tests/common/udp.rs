//! The agent's own SNMP client with a face for tests: no process per request, so that a test can poll many times a second and time each answer.
//!
//! Nothing is sent twice. A real snmpd, or the agent behind it, is on the other side; net-snmp's tools ask the same questions elsewhere (snmpd.rs).

use std::time::Duration;

use postfix_agentx::smi;
use postfix_agentx::snmp::{Answer, Binding, Client, Limits, Patience, session::Identity};

use super::value::{SnmpError, Value};

/// A socket connected to one agent.
#[derive(Debug)]
pub struct UdpClient {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl UdpClient {
    pub fn connect(port: u16, community: &str) -> Self {
        Self::with_identity(&format!("127.0.0.1:{port}"), Identity::Community(community.into()))
    }

    /// As anybody, anywhere.
    pub fn with_identity(target: &str, identity: Identity) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let patience = Patience { timeout: Duration::from_secs(10), retries: 0 };
        let target = target.parse().expect("a target");
        let client = runtime.block_on(Client::connect(&target, identity, patience)).expect("a UDP socket");
        Self { runtime, client }
    }

    /// How long one request may take; nothing is sent twice.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.client.set_patience(Patience { timeout, retries: 0 });
    }

    pub fn get(&mut self, oids: &[&str]) -> Result<Vec<(String, Value)>, SnmpError> {
        let names = names(oids);
        told(self.runtime.block_on(self.client.get(&names)))
    }

    pub fn get_one(&mut self, oid: &str) -> Result<Value, SnmpError> {
        let bindings = self.get(&[oid])?;
        bindings.into_iter().next().map(|(_, value)| value).ok_or_else(|| SnmpError::Tool("no binding".to_owned()))
    }

    pub fn get_next(&mut self, oids: &[&str]) -> Result<Vec<(String, Value)>, SnmpError> {
        let names = names(oids);
        told(self.runtime.block_on(self.client.get_next(&names)))
    }

    pub fn get_bulk(
        &mut self,
        non_repeaters: u32,
        repetitions: u32,
        oids: &[&str],
    ) -> Result<Vec<(String, Value)>, SnmpError> {
        let names = names(oids);
        told(self.runtime.block_on(self.client.get_bulk(non_repeaters, repetitions, &names)))
    }

    /// All below this OID, by GETBULK; a walk whose identifiers do not increase is an error.
    pub fn walk(&mut self, root: &str) -> Result<Vec<(String, Value)>, SnmpError> {
        let limits = Limits { bindings: 10_000_000, time: Duration::from_secs(600) };
        let root = root.parse().expect("an OID");
        told(self.runtime.block_on(self.client.walk(&root, limits)))
    }
}

fn names(oids: &[&str]) -> Vec<smi::Oid> {
    oids.iter().map(|oid| oid.parse().unwrap_or_else(|error| panic!("{oid}: {error}"))).collect()
}

fn told(asked: Result<Vec<Binding>, postfix_agentx::snmp::SnmpError>) -> Result<Vec<(String, Value)>, SnmpError> {
    use postfix_agentx::snmp::SnmpError as Told;
    match asked {
        Ok(bindings) => Ok(bindings.into_iter().map(|b| (text(&b.name), value(b.answer))).collect()),
        Err(Told::Timeout { .. }) => Err(SnmpError::Timeout),
        Err(Told::Status { status, .. }) => Err(SnmpError::Status(status.to_string())),
        Err(other) => Err(SnmpError::Tool(other.to_string())),
    }
}

fn text(oid: &smi::Oid) -> String {
    oid.to_string().trim_start_matches('.').to_owned()
}

fn value(answer: Answer) -> Value {
    let value = match answer {
        Answer::Value(value) => value,
        Answer::Null => return Value::Null,
        Answer::NoSuchObject => return Value::NoSuchObject,
        Answer::NoSuchInstance => return Value::NoSuchInstance,
        Answer::EndOfMibView => return Value::EndOfMibView,
    };
    match value {
        smi::Value::Integer(number) => Value::Integer(number.into()),
        smi::Value::OctetString(bytes) => Value::OctetString(bytes.to_vec()),
        smi::Value::ObjectId(oid) => Value::Oid(text(&oid)),
        smi::Value::IpAddress(address) => Value::IpAddress(address.into()),
        smi::Value::Counter32(count) => Value::Counter32(count),
        smi::Value::Gauge32(level) => Value::Gauge32(level),
        smi::Value::TimeTicks(ticks) => Value::TimeTicks(ticks),
        smi::Value::Opaque(bytes) => Value::Opaque(bytes.to_vec()),
        smi::Value::Counter64(count) => Value::Counter64(count),
    }
}
