use super::{super::made_up, *};
use crate::postfix::defer_reason::DeferReason;
use proptest::prelude::*;
use rustix::fs::{Timespec, Timestamps, utimensat};
use std::{
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
};

/// A spool of our own.
struct Fake(tempfile::TempDir);

fn envelope(recipients: &[&str]) -> Vec<u8> {
    envelope_from("s@x", recipients)
}

fn envelope_from(sender: &str, recipients: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut record = |kind: u8, data: &str| {
        bytes.extend([kind, data.len() as u8]);
        bytes.extend(data.bytes());
    };
    record(b'T', "1700000000 1");
    record(b'S', sender);
    recipients.iter().for_each(|r| record(b'R', r));
    record(b'E', "");
    bytes
}

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for queue in ["incoming", "active", "deferred", "hold"] {
            fs::create_dir(dir.path().join(queue)).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, recipients: &[&str]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, envelope(recipients)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    }

    /// Makes every directory look as if it had been left alone for a minute.
    fn age(&self) {
        let then = Timespec { tv_sec: Clock::now().wall - 60, tv_nsec: 0 };
        let times = Timestamps { last_access: then, last_modification: then };
        let mut paths = vec![self.0.path().to_owned()];
        while let Some(path) = paths.pop() {
            paths.extend(fs::read_dir(&path).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()));
            utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
        }
    }

    fn spool(&self) -> Spool {
        Spool::new(self.0.path(), 1)
    }
}

impl Spool {
    fn counts(&mut self, kind: QueueKind) -> (u64, u64) {
        let snapshot = self.read(&Wanted::new(50, 50), Duration::from_secs(300)).unwrap();
        let queue = snapshot.queue(kind).unwrap();
        (queue.messages, queue.recipients)
    }

    /// As if so much time had passed since the last reading.
    fn pass(&mut self, time: Duration) {
        self.last = self.last.and_then(|last| last.checked_sub(time));
        for directory in self.directories.values_mut() {
            directory.looked_at = directory.looked_at.and_then(|at| at.checked_sub(time));
        }
    }
}

const DEFERRED: QueueKind = QueueKind::Deferred;

#[test]
fn an_unchanged_directory_is_not_listed_and_a_changed_one_is() {
    let fake = Fake::new();
    fake.put("deferred/A/A0001", &["a@x"]);
    fake.put("deferred/B/B0001", &["b@x", "c@y"]);
    fake.age();
    let mut spool = fake.spool();
    assert_eq!(spool.counts(DEFERRED), (2, 3));
    // With its mtime put back a new file goes unnoticed: the proof that nobody listed it.
    fake.put("deferred/A/A0002", &["d@x"]);
    fake.age();
    assert_eq!(spool.counts(DEFERRED), (2, 3));
    // Any other change of the directory shows both.
    fake.put("deferred/A/A0003", &["e@x"]);
    assert_eq!(spool.counts(DEFERRED), (4, 5));
    fs::remove_file(fake.path("deferred/A/A0002")).unwrap();
    fs::remove_dir_all(fake.path("deferred/B")).unwrap();
    assert_eq!(spool.counts(DEFERRED), (2, 2));
    assert_eq!(spool.directories.len(), 5, "deferred/B is forgotten");
    assert_eq!(store(&mut spool.store).extras.used(), 0, "and what it kept elsewhere");
    fake.put("deferred/C/D/C0001", &["f@x"]);
    assert_eq!(spool.counts(DEFERRED), (3, 3));
}

#[test]
fn a_young_mtime_is_not_trusted() {
    let fake = Fake::new();
    fake.put("deferred/A0001", &["a@x"]);
    let mut spool = fake.spool();
    assert_eq!(spool.counts(DEFERRED), (1, 1));
    let before = fs::metadata(fake.path("deferred")).unwrap();
    fake.put("deferred/A0002", &["a@x"]);
    // A file system with coarse time stamps would show the same mtime.
    let then = Timespec { tv_sec: before.mtime(), tv_nsec: before.mtime_nsec() };
    utimensat(CWD, fake.path("deferred"), &Timestamps { last_access: then, last_modification: then }, AtFlags::empty())
        .unwrap();
    assert_eq!(spool.counts(DEFERRED), (2, 2));
}

#[test]
fn the_sweep_finds_modes_and_retry_times_in_ten_minutes() {
    let fake = Fake::new();
    // More than one buffer of directory entries.
    for i in 0..3_000 {
        fake.put(&format!("deferred/{}/{i:05X}FF", i % 4), &["a@x"]);
    }
    fake.age();
    let mut spool = fake.spool();
    // The first reading builds, the second one reads the defer logs.
    assert_eq!([(); 2].map(|()| spool.counts(DEFERRED)), [(3_000, 3_000); 2]);
    for i in 0..3_000 {
        let path = fake.path(&format!("deferred/{}/{i:05X}FF", i % 4));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        // Half of them overdue as well, and one recipient less: done in place.
        if i % 2 == 0 {
            fs::write(&path, envelope(&[])).unwrap();
            let then = Timespec { tv_sec: 1_000, tv_nsec: 0 };
            utimensat(CWD, &path, &Timestamps { last_access: then, last_modification: then }, AtFlags::empty())
                .unwrap();
        }
    }
    let mut forced = Vec::new();
    for _ in 0..20 {
        spool.pass(Duration::from_secs(30));
        let snapshot = spool.read(&Wanted::new(50, 50), Duration::from_secs(300)).unwrap();
        let queue = snapshot.queue(DEFERRED).unwrap();
        assert_eq!(queue.messages, 3_000, "counts stay exact");
        forced.push(queue.forced_expire);
        if forced.len() == 20 {
            assert_eq!((queue.recipients, queue.overdue), (1_500, Some(1_500)));
            assert_eq!(snapshot.group_bits, Some(3_000));
            assert!(snapshot.swept.unwrap().elapsed() < Duration::from_secs(600));
        }
    }
    assert_eq!(forced[19], 3_000, "{forced:?}");
    // In slices: no reading looks at everything.
    assert!(forced.windows(2).all(|w| w[1] - w[0] <= 3_000 / 18 + 2) && forced[0] < 300, "{forced:?}");
}

#[test]
fn busy_queues_are_always_looked_at() {
    let fake = Fake::new();
    fake.put("incoming/A0001", &["a@x", "b@y"]);
    fs::set_permissions(fake.path("incoming/A0001"), fs::Permissions::from_mode(0o600)).unwrap();
    fake.put("active/B0001", &["a@x", "b@y"]);
    fake.age();
    let mut spool = fake.spool();
    assert_eq!(spool.counts(QueueKind::Incoming), (0, 0), "half written");
    fs::set_permissions(fake.path("incoming/A0001"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(fake.path("active/B0001"), envelope(&["b@y"])).unwrap();
    fake.age();
    assert_eq!(spool.counts(QueueKind::Incoming), (1, 2));
    assert_eq!(spool.counts(QueueKind::Active), (1, 1));
    // Back to deferred with one recipient less.
    fs::rename(fake.path("active/B0001"), fake.path("deferred/B0001")).unwrap();
    assert_eq!(spool.counts(DEFERRED), (1, 1));
    assert_eq!(spool.counts(QueueKind::Active), (0, 0));
}

#[test]
fn a_message_on_its_way_counts_once() {
    let fake = Fake::new();
    for (name, recipients) in [("incoming/A0001", "a@one"), ("active/B0001", "b@two"), ("deferred/D/D0001", "d@four")] {
        fake.put(name, &[recipients]);
    }
    // As if each had moved between the listings of the two directories: the same inode and name in both.
    fs::create_dir(fake.path("deferred/B")).unwrap();
    fs::hard_link(fake.path("incoming/A0001"), fake.path("active/A0001")).unwrap();
    fs::hard_link(fake.path("active/B0001"), fake.path("deferred/B/B0001")).unwrap();
    let mut spool = fake.spool();
    for _ in 0..2 {
        assert_eq!(spool.counts(QueueKind::Incoming), (0, 0), "it has reached active");
        assert_eq!(spool.counts(QueueKind::Active), (1, 1), "one came, one left");
        assert_eq!(spool.counts(DEFERRED), (2, 2));
    }
    fs::remove_file(fake.path("deferred/B/B0001")).unwrap();
    assert_eq!(spool.counts(QueueKind::Active), (2, 2));
    let snapshot = spool.read(&Wanted::new(9, 9), Duration::ZERO).unwrap();
    let names: Vec<_> = snapshot.backlog.top.iter().map(|(name, w)| (&**name, w.recipients)).collect();
    assert_eq!(names, [(&b"four"[..], 1), (b"one", 1), (b"two", 1)]);
}

#[test]
fn many_threads_find_what_one_would() {
    let fake = Fake::new();
    let put = |i: usize, generation: usize| {
        let list: Vec<String> = (0..1 + i % 3).map(|r| format!("u@d{}", (i + r + generation) % 7)).collect();
        fake.put(&format!("deferred/{i:05X}FF"), &list.iter().map(String::as_str).collect::<Vec<_>>());
        list
    };
    let seen = |snapshot: Snapshot| -> BTreeMap<String, u32> {
        let top = snapshot.backlog.top.into_iter();
        top.map(|(name, waiting)| (String::from_utf8_lossy(&name).into_owned(), waiting.recipients)).collect()
    };
    let sum = |recipients: &[Vec<String>]| {
        let mut sum = BTreeMap::new();
        recipients.iter().flatten().for_each(|r| *sum.entry(r[2..].to_owned()).or_insert(0) += 1);
        sum
    };
    let mut recipients: Vec<_> = (0..3_000).map(|i| put(i, 0)).collect();
    std::os::unix::fs::symlink("x", fake.path("deferred/FFFFFFF")).unwrap();
    let mut spool = fake.spool();
    let snapshot = spool.read(&Wanted::new(50, 50), Duration::ZERO).unwrap();
    assert!(spool.was_built());
    assert_eq!(snapshot.queue(DEFERRED).unwrap().ignored, Some(1));
    assert_eq!(seen(snapshot), sum(&recipients));

    // Some go, some change where they are, some come, and some of the rest are no messages any more.
    (0..500).for_each(|i| fs::remove_file(fake.path(&format!("deferred/{i:05X}FF"))).unwrap());
    recipients[..500].fill(Vec::new());
    (500..1_200).for_each(|i| recipients[i] = put(i, 1));
    (1_200..1_250).for_each(|i| {
        fs::set_permissions(fake.path(&format!("deferred/{i:05X}FF")), fs::Permissions::from_mode(0o600)).unwrap();
    });
    recipients[1_200..1_250].fill(Vec::new());
    recipients.extend((3_000..3_600).map(|i| put(i, 0)));
    let snapshot = spool.read(&Wanted::new(50, 50), Duration::ZERO).unwrap();
    assert!(!spool.was_built());
    let queue = snapshot.queue(DEFERRED).unwrap();
    assert_eq!((queue.messages, queue.ignored), (3_050, Some(51)));
    assert_eq!(seen(snapshot), sum(&recipients));
    let several = recipients.iter().filter(|list| list.len() > 1).count();
    assert_eq!(store(&mut spool.store).extras.used(), several, "nothing is kept of what is gone");
}

/// Modes, times and contents of everything below.
fn trace(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    let mut paths = vec![directory.to_owned()];
    while let Some(path) = paths.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let times = [meta.atime_nsec(), meta.mtime_nsec(), meta.ctime_nsec(), meta.atime(), meta.mtime(), meta.ctime()];
        seen.insert(path.clone(), format!("{:o} {} {} {times:?}", meta.mode(), meta.ino(), meta.len()));
        if meta.is_dir() {
            // Listing a directory leaves a trace as well; without O_NOATIME this one would be ours.
            let fd = openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOATIME, Mode::empty()).unwrap();
            let names = rustix::fs::Dir::read_from(&fd).unwrap().map(|e| e.unwrap().file_name().to_bytes().to_vec());
            let real = names.filter(|n| n != b"." && n != b"..");
            paths.extend(real.map(|n| path.join(std::ffi::OsStr::from_bytes(&n))));
        }
    }
    seen
}

#[test]
fn reading_leaves_no_trace() {
    let fake = Fake::new();
    for name in ["deferred/A/A0001", "active/B0001", "hold/C0001", "incoming/D0001"] {
        fake.put(name, &["a@x", "b@y"]);
    }
    fs::create_dir_all(fake.path("defer/A")).unwrap();
    fs::write(fake.path("defer/A/A0001"), "recipient=a\nreason=x timed out\n\n").unwrap();
    fake.age();
    let before = trace(fake.0.path());
    let mut spool = fake.spool();
    for _ in 0..3 {
        spool.read(&Wanted::new(9, 9), Duration::ZERO).unwrap();
        spool.pass(Duration::from_secs(600));
    }
    assert_eq!(trace(fake.0.path()), before);
}

#[test]
fn domains_and_reasons_of_all_shapes() {
    let fake = Fake::new();
    fake.put("deferred/A/A0001", &["a@one.example", "b@one.example"]);
    fake.put("deferred/A/A0002", &["a@one.example", "b@two.example", "c@one.example"]);
    fs::create_dir_all(fake.path("defer/A")).unwrap();
    let refused = "reason=connect to x[192.0.2.1]:25: Connection refused\n";
    fs::write(
        fake.path("defer/A/A0001"),
        format!("recipient=a@one.example\n{refused}\nrecipient=b@one.example\n{refused}\n"),
    )
    .unwrap();
    fs::write(
        fake.path("defer/A/A0002"),
        format!("recipient=a@one.example\n{refused}\nrecipient=b@two.example\nreason=x timed out\n\n"),
    )
    .unwrap();
    fake.age();
    let mut spool = fake.spool();
    let envelopes = spool.read(&Wanted::new(1, 1), Duration::from_secs(300)).unwrap();
    assert_eq!((envelopes.reasons, envelopes.queue(DEFERRED).unwrap().recipients), (None, 5), "not read is not zero");
    assert!(spool.is_unfinished());
    let snapshot = spool.read(&Wanted::new(1, 1), Duration::from_secs(300)).unwrap();
    assert!(!spool.is_unfinished());
    assert_eq!((snapshot.queue(DEFERRED), &snapshot.backlog), (envelopes.queue(DEFERRED), &envelopes.backlog));
    let reasons = snapshot.reasons.unwrap();
    let reason = |r: DeferReason| reasons[r as usize - 1];
    assert_eq!((reason(DeferReason::ConnectionRefused), reason(DeferReason::TimedOut)), (3, 1));
    assert_eq!(reasons.iter().sum::<u64>(), 4);
    assert_eq!(store(&mut spool.store).extras.used(), 1, "the message with two domains");
    // A new one is read with its log, and so is an old one that was put off again, for another reason.
    fake.put("deferred/A/A0003", &["a@one.example"]);
    fs::write(fake.path("defer/A/A0003"), "recipient=a@one.example\nreason=x timed out\n\n").unwrap();
    fs::write(fake.path("defer/A/A0001"), "recipient=a@one.example\nreason=x timed out\n\n").unwrap();
    fake.put("deferred/A/A0001", &["a@one.example"]);
    let later = spool.read(&Wanted::new(1, 1), Duration::from_secs(300)).unwrap();
    assert_eq!((later.reasons.unwrap()[0], later.reasons.unwrap()[1]), (1, 3));
    let (name, one) = &snapshot.backlog.top[0];
    assert_eq!((&**name, one.messages, one.recipients, one.oldest), (&b"one.example"[..], 2, 4, 1_700_000_000));
    assert_eq!((snapshot.backlog.other.messages, snapshot.backlog.other.recipients), (1, 1));
}

#[test]
fn another_file_system_in_its_place_is_another_spool() {
    let fake = Fake::new();
    fake.put("deferred/A0001", &["a@x"]);
    let mut spool = fake.spool();
    assert_eq!(spool.counts(DEFERRED), (1, 1));
    let other = Fake::new();
    fs::rename(fake.path("deferred"), other.path("set-aside")).unwrap();
    assert!(
        matches!(spool.read(&Wanted::new(1, 1), Duration::ZERO), Err(SpoolError::Missing(path)) if path.ends_with("deferred"))
    );
    fs::rename(other.path("set-aside"), fake.path("deferred")).unwrap();
    assert_eq!(spool.counts(DEFERRED), (1, 1));
}

/// A spool with this mail in it, of which the deferred ones are due in 1, 2, 3 … hours.
fn spool_of(mails: &[made_up::Mail]) -> Fake {
    let fake = Fake::new();
    fs::create_dir_all(fake.path("defer/A")).unwrap();
    for (i, mail) in mails.iter().enumerate() {
        let name = format!("A{i:05X}");
        let path = fake.path(&format!("{}/{name}", mail.queue.name()));
        let addresses: Vec<&str> = mail.recipients.iter().map(|(address, _)| address.as_str()).collect();
        fs::write(&path, envelope_from(mail.sender, &addresses)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        let due = Timespec { tv_sec: made_up::due(i), tv_nsec: 0 };
        utimensat(CWD, &path, &Timestamps { last_access: due, last_modification: due }, AtFlags::empty()).unwrap();
        let waiting = mail.recipients.iter().filter_map(|(address, reason)| Some((address, (*reason)?)));
        let log: String = waiting.map(|(a, r)| format!("<{a}>: {r}\nrecipient={a}\nreason={r}\n\n")).collect();
        if !log.is_empty() {
            fs::write(fake.path(&format!("defer/A/{name}")), log).unwrap();
        }
    }
    fake
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_sums_are_those_of_the_mail(mails in made_up::mails(), more in made_up::mails()) {
        let fake = spool_of(&mails);
        let (mut spool, wanted) = (fake.spool(), Wanted::new(2, 2));
        let snapshot = spool.read(&wanted, Duration::ZERO).unwrap();
        // Where nothing is deferred no log has to be read.
        let complete = !mails.iter().any(|mail| mail.queue == DEFERRED);
        made_up::check(&snapshot, &mails, true, complete);
        let snapshot = spool.read(&wanted, Duration::ZERO).unwrap();
        made_up::check(&snapshot, &mails, true, true);
        // The same index, and other mail.
        let other = spool_of(&more);
        for queue in ["incoming", "active", "deferred", "hold", "defer"] {
            fs::remove_dir_all(fake.path(queue)).unwrap();
            fs::rename(other.path(queue), fake.path(queue)).unwrap();
        }
        let snapshot = spool.read(&wanted, Duration::ZERO).unwrap();
        made_up::check(&snapshot, &more, true, true);
    }
}

#[test]
fn messages_above_4_gib_and_logs_above_4_mib() {
    let fake = Fake::new();
    let mut large = b"C\x2f     6442450944              64               1".to_vec();
    large.extend(envelope(&["a@one.example"]));
    for (name, content) in [("hold/A0001", large), ("hold/A0002", envelope(&["a@x"]))] {
        fs::write(fake.path(name), content).unwrap();
        fs::set_permissions(fake.path(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let recipients: Vec<String> = (0..30_000).map(|n| format!("user{n}@one.example")).collect();
    fake.put("deferred/B/B0001", &recipients.iter().map(String::as_str).collect::<Vec<_>>());
    fs::create_dir_all(fake.path("defer/B")).unwrap();
    let block = |address: &String| {
        let reason = "connect to mx.one.example[192.0.2.1]:25: Connection refused";
        format!("<{address}>: {reason}\nrecipient={address}\nstatus=4.4.1\naction=delayed\nreason={reason}\n\n")
    };
    let log: String = recipients.iter().map(block).collect();
    assert!(log.len() > 4 << 20, "{}", log.len());
    fs::write(fake.path("defer/B/B0001"), log).unwrap();
    let mut spool = fake.spool();
    spool.read(&Wanted::new(1, 1), Duration::ZERO).unwrap();
    let snapshot = spool.read(&Wanted::new(1, 1), Duration::ZERO).unwrap();
    let hold = snapshot.queue(QueueKind::Hold).unwrap();
    assert_eq!((hold.messages, hold.largest_kib()), (2, 6 << 20));
    assert!(hold.kib() > 6 << 20);
    let reasons = snapshot.reasons.unwrap();
    assert_eq!((reasons[0], reasons.iter().sum::<u64>()), (30_000, 30_000), "no class is made up where a piece ends");
    assert_eq!(snapshot.queue(DEFERRED).unwrap().recipients, 30_000);
}

#[test]
fn a_log_is_found_where_another_hash_queue_depth_has_it() {
    let fake = Fake::new();
    for (name, log) in [("A0001", "defer/A0001"), ("B0001", "defer/B/B0001"), ("C0001", "defer/C/0/C0001")] {
        fake.put(&format!("deferred/{name}"), &["a@x"]);
        let log = fake.path(log);
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::write(log, "recipient=a@x\nreason=x timed out\n\n").unwrap();
    }
    let mut spool = fake.spool();
    spool.read(&Wanted::new(1, 1), Duration::ZERO).unwrap();
    assert_eq!(spool.read(&Wanted::new(1, 1), Duration::ZERO).unwrap().reasons.unwrap()[1], 3);
}

#[test]
fn old_mail_that_passes_through_is_as_old_as_its_stay() {
    let fake = Fake::new();
    for queue in ["maildrop", "incoming", "active", "hold"] {
        fake.put(&format!("{queue}/A0001"), &["a@x"]);
    }
    let mut spool = fake.spool();
    let snapshot = spool.read(&Wanted::new(1, 1), Duration::ZERO).unwrap();
    let age = |kind| snapshot.clock.wall - snapshot.queue(kind).unwrap().oldest.unwrap();
    assert!([QueueKind::Maildrop, QueueKind::Incoming].iter().all(|kind| age(*kind) < 600));
    assert!([QueueKind::Active, QueueKind::Hold].iter().all(|kind| age(*kind) > 10_000_000));
}
