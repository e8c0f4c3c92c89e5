//! What an administrator can do so that the agent may read a queue.

/// The three ways, shortest first, and the one that must not be taken: qmgr reads the group bits of queue files as orders,
/// so a `chmod -R g+rX` bounces all waiting mail (postfixSpoolGroupBitFiles counts such files).
pub const WAYS: &str = "put the agent's user into group postdrop (showq), or give it CAP_DAC_READ_SEARCH (spool), \
                        or run it as mail_owner; never chmod the queue";
