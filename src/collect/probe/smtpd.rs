//! The certificates that each instance's SMTP server uses, as postconf(1) names them; no probe is needed for them.
//!
//! postconf(5): where smtpd_tls_chain_files is set the other parameters are not used. A chain file begins with its key and may
//! hold several chains; the agent can mostly not read it, which is a state (unreadable) and no failure.

use super::{
    certificate,
    run::{Environment, Judged, judge},
};
use crate::{
    collect::{instance::Instances,},
    config::probe::Certificates,
    postfix::instance::Instance,
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
