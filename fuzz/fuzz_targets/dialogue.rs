//! A dialogue with a server whose answers are the input, for the fuzz targets of the probes.

use postfix_agentx::{
    collect::probe::{
        connection::Connection,
        message::Stamp,
        offload::Offload,
        run::{Environment, Run},
    },
    config::{
        self,
        probe::{Probe, Server, TlsMode},
    },
};
use std::{
    io::Cursor,
    sync::{Arc, LazyLock},
};

/// A round trip through both kinds of mailboxes has every server there is.
const YAML: &str = "probes:
- { name: imap, kind: imap, from: a@b, to: c@d, smtp: { host: h }, imap: { host: h, user: u, password_file: /p } }
- { name: pop3, kind: pop3, from: a@b, to: c@d, smtp: { host: h }, pop3: { host: h, user: u, password_file: /p } }
";

static PROBES: LazyLock<Vec<Probe>> =
    LazyLock::new(|| config::parse(YAML, "fuzz").map(|c| c.probes).unwrap_or_default());
static ENVIRONMENT: LazyLock<Arc<Environment>> = LazyLock::new(|| Arc::new(Environment::system()));

/// What a dialogue is given: without TLS and login, so that the answers come from the input alone.
pub fn with(number: usize, retrieve: bool, input: &[u8], dialogue: impl AsyncFnOnce(&mut Run, &Server, Connection)) {
    let Some(probe) = PROBES.get(number) else { return };
    let servers = probe.servers();
    let Some(server) = (if retrieve { servers.last() } else { servers.first() }) else { return };
    let server = Server { tls: TlsMode::None, login: None, ..(*server).clone() };
    let mut run = Run::new(probe, ENVIRONMENT.clone(), Offload::default(), Vec::new());
    run.mail.stamp = Stamp::new(&run.mail.owner.clone(), 1).ok();
    let stream = tokio::io::join(Cursor::new(input.to_vec()), tokio::io::sink());
    let connection = Connection::new(Box::new(stream), 4_096);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(dialogue(&mut run, &server, connection));
}
