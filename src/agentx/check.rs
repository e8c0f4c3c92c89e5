//! One try: connect, open, register, close; and what to do where it fails. It never overtakes: whoever serves the subtree
//! is not disturbed. Beside an agent that serves it only the session is tried, since snmpd logs every second registration.

use super::{Config, Notification, Stats, Status, link, notifications, remedy, session::Nothing};
use std::{sync::Arc, time::Duration};

/// Longer than the link waits for any one step.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it is looked whether a notification was taken.
const RECEIPT: Duration = Duration::from_millis(20);

/// Which step failed; the message carries the remedy.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckError {
    /// No session: nobody there, no permission, or the master refuses us.
    #[error("{0}")]
    Connect(String),
    /// The subtree is taken. While the agent runs this is the agent itself, and all is well.
    #[error("{0}")]
    Duplicate(String),
    /// The master refuses the registration for another reason.
    #[error("{0}")]
    Refused(String),
    /// Not settled in time.
    #[error("no answer within {0:?}: the master hangs")]
    Timeout(Duration),
}

/// Connects, opens a session, registers everything, and closes. Returns where it is registered, as text.
///
/// For some milliseconds the master would ask us and find nothing, unless somebody serves the subtree already.
pub async fn try_register(mut config: Config) -> Result<String, CheckError> {
    let overtaken = remedy::overtaken(&config.regions);
    config.regions.iter_mut().for_each(|region| region.takeover = None);
    match attempt(config, |status| !matches!(status, Status::Starting | Status::Open(_))).await {
        Status::Registered(address) => Ok(address),
        Status::Disconnected(why) => Err(CheckError::Connect(why)),
        Status::Refused { duplicate: true, why } => Err(CheckError::Duplicate(overtaken.unwrap_or(why))),
        Status::Refused { why, .. } => Err(CheckError::Refused(why)),
        Status::Starting | Status::Open(_) | Status::Stopped => Err(CheckError::Timeout(PATIENCE)),
    }
}

/// Connects, opens a session, and closes it. Nothing is registered. Returns where, as text.
pub async fn try_open(mut config: Config) -> Result<String, CheckError> {
    config.regions.clear();
    config.capabilities.clear();
    match attempt(config, |status| !matches!(status, Status::Starting)).await {
        Status::Open(address) | Status::Registered(address) => Ok(address),
        Status::Disconnected(why) => Err(CheckError::Connect(why)),
        Status::Refused { why, .. } => Err(CheckError::Refused(why)),
        Status::Starting | Status::Stopped => Err(CheckError::Timeout(PATIENCE)),
    }
}

/// Connects, opens a session, sends one notification, and closes when the master has taken it. Nothing is registered.
/// Returns where, as text.
pub async fn try_notify(mut config: Config, notification: Notification) -> Result<String, CheckError> {
    config.regions.clear();
    config.capabilities.clear();
    let stats = Arc::new(Stats::default());
    let status = stats.watch();
    let (notifier, queue) = notifications(config.notifications, Arc::clone(&stats));
    let (notification, receipt) = notification.with_receipt();
    notifier.send(notification);
    let (settled, outcome) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        let settle = async {
            let mut address = None;
            loop {
                match &*status.borrow() {
                    Status::Open(at) | Status::Registered(at) => address = Some(at.clone()),
                    Status::Disconnected(why) => return Err(CheckError::Connect(why.clone())),
                    Status::Refused { why, .. } => return Err(CheckError::Refused(why.clone())),
                    Status::Starting | Status::Stopped => {}
                }
                match (receipt.taken(), &address) {
                    (Some(true), Some(address)) => return Ok(address.clone()),
                    (Some(false), _) => return Err(CheckError::Refused("snmpd refuses notifications".into())),
                    _ => tokio::time::sleep(RECEIPT).await,
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, settle).await.unwrap_or(Err(CheckError::Timeout(PATIENCE)));
        // The receiver waits below.
        let _ = settled.send(found);
    };
    link::run(config, || Arc::new(Nothing), queue, stats, shutdown).await;
    outcome.await.unwrap_or(Err(CheckError::Timeout(PATIENCE)))
}

/// Runs a link until its status is the one that is wanted.
async fn attempt(config: Config, wanted: impl Fn(&Status) -> bool) -> Status {
    let stats = Arc::new(Stats::default());
    let mut status = stats.watch();
    let (_, queue) = notifications(config.notifications, Arc::clone(&stats));
    let (settled, outcome) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        let found = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
        let found = found.map_or(Status::Starting, |s| s.map_or(Status::Starting, |s| s.clone()));
        // The receiver waits below.
        let _ = settled.send(found);
    };
    link::run(config, || Arc::new(Nothing), queue, stats, shutdown).await;
    outcome.await.unwrap_or_default()
}
