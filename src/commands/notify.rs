//! `postfix-agentx notify --test`: one notification that means nothing, so that the way to the managers can be tried. It
//! goes over a session of its own, beside the daemon's: both take the same way from snmpd on.

use super::Failure;
use crate::{agentx, collect::alarm, config::Config, wiring::link_config};
use std::{path::Path, process::ExitCode};

/// Exit status 1 where snmpd has not taken it.
pub(super) fn run(file: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = Config::load(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::System("cannot start the AgentX runtime", e))?;
    let test = alarm::test_notification(&config.agentx.root).map_err(|e| Failure::Usage(e.to_string()))?;
    let result = runtime.block_on(agentx::try_notify(link_config(&config), test));
    // Not waiting for a resolver that looks up the name of a TCP master.
    runtime.shutdown_background();
    match result {
        Ok(address) => {
            println!(
                "snmpd at {address} has taken postfixTestNotification; it goes to every trap2sink, informsink and trapsess of \
                 snmpd.conf. Without one it goes nowhere."
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(e) => {
            eprintln!("postfix-agentx: not sent: {e}");
            Ok(ExitCode::FAILURE)
        }
    }
}
