//! Round trips: a message is sent, waited for in a mailbox, read and removed.
//!
//! The mailbox is opened first: what fails there fails before anything is sent, and its left-overs are not taken for the
//! message of this run.

use super::{
    fault::Fault,
    imap::Imap,
    maildir,
    message::{self, Stamp},
    pop3::Pop3,
    run::{Memory, Run, unix_now},
    sendmail,
    smtp::{self, Smtp},
    stage::Stage,
};
use crate::config::probe::{Kind, Probe, Retrieve, RoundTrip, Submit};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Between two looks into a Maildir, at first and at last.
const POLL: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// The whole of it; the deadline is around it.
pub async fn run(probe: &str, trip: &RoundTrip, run: &mut Run, memory: &mut Memory) -> Result<(), Fault> {
    match &trip.retrieve {
        Retrieve::Imap { server, folder } => {
            let mut imap = Imap::open(run, server, folder).await?;
            submit(probe, trip, run).await?;
            let uid = imap.wait(run).await?;
            run.arrived();
            run.trace.begin(Stage::Retrieve);
            if let Err(changed) = imap.retrieve(run, uid).await {
                // It is removed all the same; what went wrong is that it changed.
                let _ = imap.remove(uid).await;
                return Err(changed);
            }
            run.trace.begin(Stage::Remove);
            imap.remove(uid).await?;
            run.trace.end(true);
            imap.close().await;
        }
        Retrieve::Pop3(server) => {
            Pop3::open(run, server, &mut memory.pop3).await?;
            submit(probe, trip, run).await?;
            Pop3::fetch(run, server, &mut memory.pop3).await?;
            run.trace.end(true);
        }
        Retrieve::Maildir(path) => through_maildir(probe, trip, path, run, memory).await?,
    }
    Ok(())
}

/// Where a round trip's message is looked for, for people.
pub fn place(probe: &Probe) -> String {
    match &probe.kind {
        Kind::RoundTrip(RoundTrip { retrieve: Retrieve::Imap { server, folder }, .. }) => {
            format!("{folder} at {}", server.target())
        }
        Kind::RoundTrip(RoundTrip { retrieve: Retrieve::Pop3(server), .. }) => {
            format!("the mailbox at {}", server.target())
        }
        Kind::RoundTrip(RoundTrip { retrieve: Retrieve::Maildir(path), .. }) => path.display().to_string(),
        Kind::Smtp(_) | Kind::Certificate(_) => String::new(),
    }
}

/// Sends the message; when this returns it is accepted, and what follows is [`Stage::Deliver`].
async fn submit(probe: &str, trip: &RoundTrip, run: &mut Run) -> Result<(), Fault> {
    run.began = Instant::now();
    let stamp = Stamp::new(&run.mail.owner, unix_now()).map_err(Fault::Broken)?;
    let host = run.environment.hostname.clone();
    let message = message::compose(&stamp, probe, &trip.from, &trip.to, &host).map_err(Fault::Broken)?;
    run.mail.stamp = Some(stamp);
    match &trip.submit {
        Submit::Smtp(server) => {
            let mut smtp = Smtp::open(run, server, 220).await?;
            let reply = smtp.recipient(run, &trip.from, &trip.to).await?;
            if reply.code / 100 != 2 {
                return Err(Fault::Refused { command: "RCPT TO", reply: reply.words() });
            }
            let reply = smtp.message(run, &message).await?;
            let accepted = Instant::now();
            run.mail.queued = smtp::queued(&reply);
            smtp.quit(run, false).await;
            run.trace.begin_at(Stage::Deliver, accepted);
        }
        Submit::Sendmail(program) => {
            run.trace.begin(Stage::Submit);
            let (program, from, to) = (program.clone(), trip.from.clone(), trip.to.clone());
            let left = run.timeout;
            run.mail.sent = true;
            let ran = run.offload.run("sendmail", move || sendmail::run(&program, &from, &to, &message, left)).await?;
            if let Err(why) = ran {
                // postdrop takes a message as a whole or not at all; its complaint means it did not.
                run.mail.sent = false;
                return Err(Fault::Sendmail(why));
            }
            run.trace.begin(Stage::Deliver);
        }
    }
    Ok(())
}

async fn through_maildir(
    probe: &str,
    trip: &RoundTrip,
    path: &Path,
    run: &mut Run,
    memory: &mut Memory,
) -> Result<(), Fault> {
    run.trace.begin(Stage::MailboxFolder);
    let found = look(path, run, memory).await?;
    run.mail.late.extend(found.late);
    if !found.old.is_empty() {
        run.trace.begin(Stage::Remove);
        remove(found.old, run).await?;
    }
    submit(probe, trip, run).await?;
    let [mut pause, longest] = POLL;
    let (file, message) = loop {
        if let Some(message) = look(path, run, memory).await?.message {
            break message;
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    };
    run.arrived();
    run.trace.begin(Stage::Retrieve);
    if let Err(changed) = run.has_text(&message) {
        let _ = remove(vec![file], run).await;
        return Err(changed);
    }
    run.trace.begin(Stage::Remove);
    remove(vec![file], run).await?;
    run.trace.end(true);
    Ok(())
}

async fn look(path: &Path, run: &Run, memory: &mut Memory) -> Result<maildir::Look, Fault> {
    let (path, mail, mut foreign) = (path.to_owned(), run.mail.clone(), std::mem::take(&mut memory.maildir));
    let look = move || (maildir::look(&path, &mail, &mut foreign), foreign);
    let (found, foreign) = run.offload.run("the Maildir", look).await?;
    memory.maildir = foreign;
    found
}

async fn remove(files: Vec<PathBuf>, run: &Run) -> Result<(), Fault> {
    run.offload.run("the Maildir", move || maildir::remove(&files)).await?
}
