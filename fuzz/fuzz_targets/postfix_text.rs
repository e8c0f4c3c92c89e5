//! Any output of postconf, and any master.cf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postfix_agentx::{collect::instance, postfix::master_cf};

fuzz_target!(|text: &str| {
    let _ = instance::postconf_output(text);
    for entry in master_cf::parse(text).unwrap_or_default() {
        let _ = (entry.program(), entry.option("syslog_name"), entry.process_limit(100));
    }
});
