//! What an administrator can do so that the agent may read a queue.

use crate::advice;
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The three ways, shortest first, and the one that must not be taken: qmgr reads the group bits of queue files as orders,
/// so a `chmod -R g+rX` bounces all waiting mail (postfixSpoolGroupBitFiles counts such files).
pub const WAYS: &str = "put the agent's user into group postdrop (showq), or give it CAP_DAC_READ_SEARCH (spool), \
                        or run it as mail_owner; never chmod the queue";

/// That showq's socket may not be used, with what gives the agent the group of the directory it is in (setgid_group).
pub fn denied(socket: &Path) -> String {
    let directory = socket.parent().unwrap_or(socket);
    let group = fs::metadata(directory).ok().and_then(|meta| advice::harmless_group(meta.gid()));
    let commands = group.map(|group| advice::join(&group)).unwrap_or_default();
    advice::advise(format_args!("{}: permission denied; {WAYS}", socket.display()), &commands)
}
