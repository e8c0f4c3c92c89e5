//! The follower against a model: a writer and a rotator that do anything, an agent that dies at any moment, and the truth.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
};

const AT_ONCE: Patience = Patience { rotated: Duration::ZERO, search: Duration::ZERO };
const PATIENT: Patience = Patience { rotated: Duration::from_secs(3_600), search: Duration::ZERO };

/// Deterministic and good enough (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// What the agent counted and where it is, saved together.
#[derive(Clone, Default)]
struct Counted {
    lines: BTreeMap<String, u32>,
    saved: Option<Saved>,
}

struct World {
    directory: tempfile::TempDir,
    random: Random,
    written: u64,
    /// Half a line stands at the end of the log.
    half: String,
    truth: BTreeMap<String, u32>,
    patience: Patience,
    follower: Option<Follower>,
    now: Counted,
    disk: Counted,
    gaps: u64,
    /// Seconds that have passed in this world; files are written in its time.
    clock: u64,
}

impl World {
    fn new(seed: u64, patience: Patience) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (written, half, gaps) = Default::default();
        let (truth, follower, now, disk) = Default::default();
        let random = Random(seed * 2 + 1);
        let mut world = Self { directory, random, written, half, truth, patience, follower, now, disk, gaps, clock: 0 };
        // An older life that is not ours.
        fs::write(world.name(".1"), "history\n".repeat(3)).unwrap();
        fs::write(world.name(""), "").unwrap();
        ["", ".1"].iter().for_each(|suffix| world.written_now(&world.name(suffix)));
        world.start();
        world
    }

    fn name(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("mail.log{suffix}"))
    }

    fn start(&mut self) {
        self.now = self.disk.clone();
        let follower = Follower::new(&self.name(""), &[], self.now.saved.clone(), false, self.patience);
        self.follower = follower.ok();
    }

    fn read(&mut self, budget: usize) {
        if self.follower.is_none() {
            self.start();
        }
        let Some(follower) = &mut self.follower else { return };
        let lines = &mut self.now.lines;
        let progress = follower.read(budget, &mut |chunk| {
            for line in chunk.split_inclusive(|b| *b == b'\n') {
                *lines.entry(String::from_utf8_lossy(line).trim_end_matches('\n').into()).or_default() += 1;
            }
        });
        // The log may be nowhere for a moment.
        if let Ok(progress) = progress {
            self.gaps += progress.gaps;
        }
    }

    fn save(&mut self) {
        if let Some(follower) = &self.follower {
            self.now.saved = Some(follower.save());
            self.disk = self.now.clone();
        }
    }

    fn append(&mut self, to: &Path, text: &str) {
        OpenOptions::new().append(true).create(true).open(to).unwrap().write_all(text.as_bytes()).unwrap();
        self.written_now(to);
    }

    /// Gives a file the time of this world, in which seconds pass between two steps as they do on a busy host.
    fn written_now(&self, file: &Path) {
        let time = SystemTime::now() - Duration::from_secs(1_000) + Duration::from_secs(self.clock);
        File::options().append(true).open(file).unwrap().set_modified(time).unwrap();
    }

    fn write(&mut self, to: &str) {
        let path = self.name(to);
        for _ in 0..1 + self.random.below(4) {
            self.written += 1;
            let filler = "x".repeat(self.random.below(600) as usize);
            // A timestamp and a pid make real lines differ from the first bytes on.
            let line = format!("{:07} {filler}", self.written);
            // Some lines come in two pieces.
            let cut = if to.is_empty() { self.random.below(line.len() as u64 - 6) as usize + 7 } else { line.len() };
            let whole = std::mem::take(&mut self.half) + &line;
            if to.is_empty() && self.random.below(5) == 0 {
                self.append(&path, &line[..cut]);
                self.half = whole[..whole.len() - (line.len() - cut)].to_owned();
                if self.half.is_empty() {
                    continue;
                }
                return;
            }
            self.append(&path, &format!("{line}\n"));
            *self.truth.entry(whole).or_default() += 1;
        }
    }

    /// The log is over: a half line at its end is a line.
    fn close(&mut self) {
        let half = std::mem::take(&mut self.half);
        if !half.is_empty() {
            *self.truth.entry(half).or_default() += 1;
        }
    }

    fn shift(&mut self) {
        for n in (1..60).rev() {
            for end in ["", ".gz"] {
                let (from, to) = (self.name(&format!(".{n}{end}")), self.name(&format!(".{}{end}", n + 1)));
                if from.exists() {
                    fs::rename(from, to).unwrap();
                }
            }
        }
    }

    fn compress(&mut self, suffix: &str) {
        let from = self.name(suffix);
        let Ok(mut file) = File::open(&from) else { return };
        let modified = file.metadata().unwrap().modified().unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let to = self.name(&format!("{suffix}.gz"));
        let mut gz = GzEncoder::new(File::create(&to).unwrap(), Compression::fast());
        gz.write_all(&bytes).unwrap();
        gz.finish().unwrap().set_modified(modified).unwrap();
        fs::remove_file(from).unwrap();
    }

    /// Rename and create, with or without compression.
    fn rotate(&mut self) {
        self.shift();
        self.close();
        fs::rename(self.name(""), self.name(".1")).unwrap();
        match self.random.below(4) {
            0 => self.read(1 << 20),
            1 => self.compress(".1"),
            _ => {}
        }
        fs::write(self.name(""), "").unwrap();
        self.written_now(&self.name(""));
        if self.random.below(3) == 0 {
            self.compress(".2");
        }
    }

    fn copytruncate(&mut self) {
        self.shift();
        let half = std::mem::take(&mut self.half);
        if !half.is_empty() {
            // Whoever writes finishes the line first; a copy in the middle of one loses it for everybody.
            self.append(&self.name(""), "\n");
            *self.truth.entry(half).or_default() += 1;
        }
        fs::copy(self.name(""), self.name(".1")).unwrap();
        self.written_now(&self.name(".1"));
        OpenOptions::new().write(true).truncate(true).open(self.name("")).unwrap();
        self.written_now(&self.name(""));
        if self.random.below(3) == 0 {
            self.compress(".1");
        }
    }

    fn step(&mut self) {
        self.clock += self.random.below(3) / 2;
        match self.random.below(20) {
            0..=7 => self.write(""),
            8..=11 => {
                let budget = [1, 1_000, 1 << 20][self.random.below(3) as usize];
                self.read(budget);
            }
            12 | 13 => self.save(),
            // kill -9: what was not saved is gone.
            14 => self.follower = None,
            15 => {
                self.save();
                self.follower = None;
            }
            16 | 17 => self.rotate(),
            18 => self.copytruncate(),
            _ => {
                self.read(1 << 20);
                self.read(1 << 20);
            }
        }
    }

    fn settle(&mut self, seed: u64) {
        self.append(&self.name(""), "\n");
        self.close();
        self.write("");
        let half = std::mem::take(&mut self.half);
        if !half.is_empty() {
            self.append(&self.name(""), "\n");
            *self.truth.entry(half).or_default() += 1;
        }
        (0..6).for_each(|_| self.read(1 << 20));
        self.now.lines.remove("");
        self.truth.remove("");
        if self.now.lines != self.truth {
            let missing: Vec<_> = self.truth.iter().filter(|(l, n)| self.now.lines.get(*l) != Some(n)).collect();
            let extra: Vec<_> = self.now.lines.iter().filter(|(l, n)| self.truth.get(*l) != Some(n)).collect();
            let short = |v: &Vec<(&String, &u32)>| v.iter().map(|(l, n)| format!("{n} × {l:.24}")).collect::<Vec<_>>();
            panic!("seed {seed}: truth {:?}, counted {:?}, gaps {}", short(&missing), short(&extra), self.gaps);
        }
        assert_eq!(self.gaps, 0, "seed {seed}: everything could be read");
    }
}

/// `MODEL_RUNS=30000 cargo test --release model` for a long look, `MODEL_SEED=n` for one run.
#[test]
fn model_every_line_once_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let (runs, only) = (number("MODEL_RUNS").unwrap_or(1_000), number("MODEL_SEED"));
    for seed in only.unwrap_or(1)..=only.unwrap_or(runs) {
        let mut world = World::new(seed, AT_ONCE);
        world.read(1 << 20);
        world.save();
        let steps = 5 + world.random.below(60);
        (0..steps).for_each(|_| world.step());
        world.settle(seed);
    }
}

/// syslogd goes on writing to the renamed file until it is told.
#[test]
fn a_rotated_file_is_read_for_as_long_as_it_is_written_to() {
    for seed in 1..200 {
        let mut world = World::new(seed, PATIENT);
        world.read(1 << 20);
        world.save();
        for _ in 0..3 {
            world.write("");
            world.close();
            world.append(&world.name(""), "\n");
            world.shift();
            fs::rename(world.name(""), world.name(".1")).unwrap();
            for _ in 0..world.random.below(4) {
                world.write(".1");
                world.read(1 << 20);
            }
            fs::write(world.name(""), "").unwrap();
            for _ in 0..world.random.below(4) {
                world.write(".1");
                world.read(1_000);
                if world.random.below(2) == 0 {
                    world.save();
                    world.follower = None;
                }
            }
            world.write("");
            world.close();
            world.append(&world.name(""), "\n");
        }
        world.settle(seed);
    }
}

#[test]
fn what_was_truncated_unread_is_a_gap_and_what_was_read_is_none() {
    let mut world = World::new(7, AT_ONCE);
    world.read(1 << 20);
    let path = world.name("");
    world.append(&path, "one\n");
    world.read(1 << 20);
    let truncate = || OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    truncate();
    world.read(1 << 20);
    assert_eq!((world.gaps, world.now.lines.len()), (0, 1), "all of it had been read");
    world.append(&path, "two\nhalf");
    world.read(1 << 20);
    truncate();
    world.read(1 << 20);
    assert_eq!(world.gaps, 1, "half a line was there");
    world.append(&path, "three\n");
    world.read(1 << 20);
    assert_eq!(world.now.lines.len(), 3);
    world.save();
    world.follower = None;
    truncate();
    world.read(1 << 20);
    assert_eq!(world.gaps, 2, "nobody knows what came while nobody looked");
}

#[test]
fn a_log_deleted_while_nobody_looked_is_a_gap() {
    let mut world = World::new(7, AT_ONCE);
    let path = world.name("");
    world.read(1 << 20);
    world.append(&path, "one\n");
    world.read(1 << 20);
    world.save();
    world.follower = None;
    fs::remove_file(&path).unwrap();
    world.append(&path, "two\n");
    (0..3).for_each(|_| world.read(1 << 20));
    assert_eq!(world.gaps, 1);
    assert_eq!(world.now.lines.keys().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn days_of_rotation_while_nobody_looked() {
    let mut world = World::new(7, AT_ONCE);
    world.read(1 << 20);
    world.write("");
    world.save();
    world.follower = None;
    for _ in 0..10 {
        world.write("");
        world.rotate();
    }
    world.settle(7);
}

#[test]
fn lines_too_long_are_cut_and_the_next_one_is_whole() {
    let mut world = World::new(7, AT_ONCE);
    world.read(1 << 20);
    let path = world.name("");
    let long = "x".repeat(300_000);
    world.append(&path, &long);
    world.read(1 << 20);
    world.save();
    world.follower = None;
    world.append(&path, &format!("{long}\nnext\n"));
    (0..4).for_each(|_| world.read(1 << 20));
    let lengths: Vec<usize> = world.now.lines.keys().map(String::len).collect();
    assert_eq!(lengths, [4, 65_536]);
}

#[test]
fn begins_at_the_end_or_at_the_start() {
    for (from_start, expected) in [(false, 1), (true, 3)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("maillog");
        fs::write(&path, "old\nolder\nbegun").unwrap();
        let mut follower = Follower::new(&path, &[], None, from_start, AT_ONCE).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and ended\n").unwrap();
        let mut lines = 0;
        follower.read(1 << 20, &mut |chunk| lines += memchr::memchr_iter(b'\n', chunk).count()).unwrap();
        assert_eq!(lines, expected);
    }
}

/// How logrotate and `postfix logrotate` name the file of `age` periods ago: its name, and whether it is compressed.
type Naming = fn(u32) -> String;

/// A date that goes back by one hour an `age`.
fn date(age: u32) -> (u32, u32, u32, u32) {
    let hours = 30 * 12 * 28 * 24 - age;
    (2024 - 30 + hours / (12 * 28 * 24), hours / (28 * 24) % 12 + 1, hours / 24 % 28 + 1, hours % 24)
}

const NAMINGS: [(&str, Naming); 9] = [
    ("numbered", |age| format!("mail.log.{age}")),
    ("numbered, compressed", |age| format!("mail.log.{age}{}", if age > 1 { ".gz" } else { "" })),
    ("dateext", |age| {
        let (year, month, day, hour) = date(age);
        format!("mail.log-{year}{month:02}{day:02}{hour:02}")
    }),
    ("dateext, compressed", |age| {
        let (year, month, day, hour) = date(age);
        format!("mail.log-{year}{month:02}{day:02}{hour:02}.gz")
    }),
    ("dateformat -%Y%m%d-%s", |age| {
        let (year, month, day, _) = date(age);
        format!("mail.log-{year}{month:02}{day:02}-{}", 1_700_000_000 - 3_600 * age)
    }),
    ("dateformat .%Y-%m-%d", |age| {
        let (year, month, day, hour) = date(age);
        format!("mail.log.{year}-{month:02}-{day:02}_{hour:02}")
    }),
    ("postfix logrotate", |age| {
        let (year, month, day, hour) = date(age);
        format!("mail.log.{year}{month:02}{day:02}-{hour:02}0000.gz")
    }),
    ("extension .log", |age| {
        let (year, month, day, hour) = date(age);
        format!("mail-{year}{month:02}{day:02}{hour:02}.log")
    }),
    ("extension .log, numbered, compressed", |age| format!("mail.{age}.log.gz")),
];

/// A directory with `many` rotated logs, each of ten lines and an hour older than the one before.
fn history(many: u32, naming: Naming) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    for age in 1..=many {
        let name = naming(age);
        let text = format!("{age:07} an old line\n").repeat(10);
        let text = if name.ends_with(".gz") { packed(text.as_bytes()) } else { text.into_bytes() };
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        let written = now - Duration::from_secs(3_600 * u64::from(age));
        File::open(&path).unwrap().set_modified(written).unwrap();
    }
    fs::write(directory.path().join("mail.log"), "a line of today, before the agent came\n").unwrap();
    directory
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text).unwrap();
    gz.finish().unwrap()
}

/// How the log is rotated: `shift` renames the numbered ones first.
fn rotate(directory: &Path, naming: Naming, copytruncate: bool) {
    let log = directory.join("mail.log");
    let (first, second) = (directory.join(naming(1)), directory.join(naming(2)));
    if first.exists() {
        let numbered = (1..).take_while(|age| directory.join(naming(*age)).exists()).last().unwrap();
        if naming(1).contains("mail.log.1") || naming(1).contains("mail.1.") {
            for age in (2..=numbered).rev() {
                fs::rename(directory.join(naming(age)), directory.join(naming(age + 1))).unwrap();
            }
            let text = fs::read(&first).unwrap();
            let zip = second.extension().is_some_and(|e| e == "gz") && first.extension().is_none_or(|e| e != "gz");
            let modified = fs::metadata(&first).unwrap().modified().unwrap();
            fs::write(&second, if zip { packed(&text) } else { text }).unwrap();
            File::open(&second).unwrap().set_modified(modified).unwrap();
            fs::remove_file(&first).unwrap();
        }
    }
    // With dates in their names rotated files do not move.
    let to = if first.exists() { directory.join(naming(0)) } else { first };
    if to.extension().is_some_and(|e| e == "gz") {
        let modified = fs::metadata(&log).unwrap().modified().unwrap();
        fs::write(&to, packed(&fs::read(&log).unwrap())).unwrap();
        File::open(&to).unwrap().set_modified(modified).unwrap();
        if !copytruncate {
            fs::remove_file(&log).unwrap();
        }
    } else if copytruncate {
        fs::copy(&log, &to).unwrap();
    } else {
        fs::rename(&log, &to).unwrap();
    }
    fs::write(&log, "").unwrap();
}

fn append(directory: &Path, from: u32, lines: u32) {
    let mut log = OpenOptions::new().append(true).create(true).open(directory.join("mail.log")).unwrap();
    (from..from + lines).for_each(|n| writeln!(log, "{n} a new line that is as long as real ones").unwrap());
}

/// Reads until nothing comes any more; lines and the most rotated files that were open.
fn drain(follower: &mut Follower) -> (u32, usize) {
    let (mut lines, mut open, mut idle) = (0, 0, 0);
    for _ in 0..100_000 {
        let progress =
            follower.read(1 << 20, &mut |chunk| lines += memchr::memchr_iter(b'\n', chunk).count() as u32).unwrap();
        open = open.max(follower.rotated.len());
        assert_eq!(progress.gaps, 0);
        idle = if progress.bytes == 0 && progress.at_end { idle + 1 } else { 0 };
        if idle == 3 {
            return (lines, open);
        }
    }
    panic!("reads without end, {lines} lines so far");
}

fn history_is_not_counted(many: u32, what: &str, naming: Naming) {
    for copytruncate in [false, true] {
        for down in [false, true] {
            let what = format!("{what}, {many} files, copytruncate {copytruncate}, down {down}");
            let directory = history(many, naming);
            let log = directory.path().join("mail.log");
            let mut follower = Follower::new(&log, &[], None, false, AT_ONCE).unwrap();
            assert_eq!(drain(&mut follower).0, 0, "{what}: begins at the end");
            append(directory.path(), 100, 10);
            assert_eq!(drain(&mut follower).0, 10, "{what}");
            if down {
                let saved = follower.save();
                let saved = serde_json::from_slice(&serde_json::to_vec(&saved).unwrap()).unwrap();
                append(directory.path(), 200, 10);
                rotate(directory.path(), naming, copytruncate);
                append(directory.path(), 300, 10);
                follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
            } else {
                append(directory.path(), 200, 10);
                assert_eq!(drain(&mut follower).0, 10, "{what}");
                rotate(directory.path(), naming, copytruncate);
                append(directory.path(), 300, 10);
            }
            let (lines, open) = drain(&mut follower);
            assert_eq!(lines, if down { 20 } else { 10 }, "{what}: after a rotation");
            assert!(open <= OPEN, "{what}: {open} files open");
            let remembered = follower.save().memory.len();
            assert!(remembered <= many as usize + 4, "{what}: {remembered} remembered");
        }
    }
}

#[test]
fn history_of_three_hundred_files_is_not_counted_whatever_they_are_called() {
    NAMINGS.iter().for_each(|(what, naming)| history_is_not_counted(300, what, *naming));
}

#[test]
fn history_of_a_thousand_files_is_not_counted() {
    [1, 3, 6].into_iter().for_each(|n: usize| history_is_not_counted(1_000, NAMINGS[n].0, NAMINGS[n].1));
}

/// Two years of hours: the directory is listed at a rotation, and no file of it is opened again.
#[test]
fn history_of_twenty_thousand_files_is_not_counted() {
    let (what, naming) = NAMINGS[6];
    history_is_not_counted(20_000, what, naming);
}

/// More than may be open were rotated while the agent was down: each is read, none twice, also when it is stopped in between.
#[test]
fn hundreds_rotated_while_nobody_looked_are_read_a_few_at_a_time() {
    let directory = history(300, NAMINGS[3].1);
    let log = directory.path().join("mail.log");
    let mut follower = Follower::new(&log, &[], None, false, PATIENT).unwrap();
    append(directory.path(), 0, 5);
    let (mut lines, _) = drain_impatiently(&mut follower, 3);
    let mut saved = follower.save();
    drop(follower);
    for n in 0..200 {
        append(directory.path(), 1_000 + 10 * n, 10);
        let to = directory.path().join(format!("mail.log-20260101{n:04}"));
        fs::rename(&log, &to).unwrap();
        // They were written long ago, one after the other.
        let written = SystemTime::now() + Duration::from_millis(u64::from(n));
        File::open(&to).unwrap().set_modified(written).unwrap();
    }
    append(directory.path(), 90_000, 10);
    for _ in 0..400 {
        let mut follower = Follower::new(&log, &[], Some(saved), false, PATIENT).unwrap();
        let (read, open) = drain_impatiently(&mut follower, 4);
        lines += read;
        assert!(open <= OPEN + 1, "{open} open");
        saved = serde_json::from_slice(&serde_json::to_vec(&follower.save()).unwrap()).unwrap();
        if lines >= 2_015 {
            break;
        }
    }
    assert_eq!(lines, 5 + 2_000 + 10);
    let mut follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
    assert_eq!(drain(&mut follower).0, 0, "and none of them again");
}

/// A few looks with little read at each.
fn drain_impatiently(follower: &mut Follower, looks: u32) -> (u32, usize) {
    let (mut lines, mut open) = (0, 0);
    for _ in 0..looks {
        follower.read(500, &mut |chunk| lines += memchr::memchr_iter(b'\n', chunk).count() as u32).unwrap();
        open = open.max(follower.rotated.len());
    }
    (lines, open)
}

/// A backup that is put back beside the log is history, whenever it is put there.
#[test]
fn restored_backups_are_not_counted() {
    let directory = history(3, NAMINGS[0].1);
    let log = directory.path().join("mail.log");
    let mut follower = Follower::new(&log, &[], None, false, AT_ONCE).unwrap();
    append(directory.path(), 0, 10);
    assert_eq!(drain(&mut follower).0, 10);
    for n in 0..300 {
        let path = directory.path().join(format!("mail.log-2023{n:04}"));
        fs::write(&path, format!("{n:04} restored\n").repeat(10)).unwrap();
        File::open(&path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(90_000)).unwrap();
    }
    rotate(directory.path(), NAMINGS[0].1, false);
    append(directory.path(), 100, 10);
    assert_eq!(drain(&mut follower).0, 10);
    let saved = follower.save();
    rotate(directory.path(), NAMINGS[0].1, true);
    append(directory.path(), 200, 10);
    let mut follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
    assert_eq!(drain(&mut follower).0, 10);
}

/// 0.1.0 remembered 256 files and read the others again and again: its state cannot be relied on, and that is reported.
#[test]
fn a_state_of_an_agent_that_counted_history_is_recognised() {
    for (many, poisoned) in [(10, false), (255, false), (257, true), (300, true)] {
        let directory = history(many, NAMINGS[2].1);
        let log = directory.path().join("mail.log");
        append(directory.path(), 0, 10);
        let position = Tail::open(&log, 0).unwrap().position;
        let siblings = siblings(&log, &[]).unwrap();
        let identity = |file: &Sibling| {
            let look = file.look().unwrap();
            Identity::new(&look.meta, &look.head)
        };
        let finished = siblings.iter().rev().take(OLD_MEMORY).map(identity).collect();
        let rotated = if poisoned {
            siblings.iter().take(40).map(|f| Tail::open(&f.path, 0).unwrap().position).collect()
        } else {
            Vec::new()
        };
        let saved = Saved { rotated, current: Some(position), finished, ..Saved::default() };
        let mut follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
        let mut lines = 0;
        let first = follower.read(1, &mut |chunk| lines += memchr::memchr_iter(b'\n', chunk).count()).unwrap();
        assert_eq!(first.recounted, poisoned, "{many} files");
        let rest = drain(&mut follower).0;
        assert_eq!(lines as u32 + rest, 11, "{many} files: what is in the log was not counted yet");
        rotate(directory.path(), NAMINGS[2].1, false);
        append(directory.path(), 100, 10);
        assert_eq!(drain(&mut follower).0, 10, "{many} files");
        let saved = serde_json::from_slice(&serde_json::to_vec(&follower.save()).unwrap()).unwrap();
        let mut follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
        assert!(!follower.read(1, &mut |_| {}).unwrap().recounted, "reported once");
    }
}

/// A clock that goes back by a year, and one that was in the future for a while: nothing is lost or counted twice.
#[test]
fn clocks_that_step_lose_no_rotated_file() {
    const YEAR: u64 = 365 * 86_400;
    for down in [false, true] {
        let directory = history(300, NAMINGS[2].1);
        let log = directory.path().join("mail.log");
        let mut follower = Follower::new(&log, &[], None, false, AT_ONCE).unwrap();
        append(directory.path(), 0, 10);
        // Written while the clock was ten years ahead.
        let ahead = SystemTime::now() + Duration::from_secs(10 * YEAR);
        File::open(&log).unwrap().set_modified(ahead).unwrap();
        assert_eq!(drain(&mut follower).0, 10);
        let saved = follower.save();
        let mut written = 0;
        for n in 0..3 {
            // The clock is right again: each of these is older than what was read last.
            append(directory.path(), 1_000 * (n + 1), 10);
            written += 10;
            let to = directory.path().join(format!("mail.log-2026010{n}"));
            fs::rename(&log, &to).unwrap();
            fs::write(&log, "").unwrap();
            if !down && n == 1 {
                assert_eq!(drain(&mut follower).0, written);
                written = 0;
            }
        }
        append(directory.path(), 9_000, 10);
        if down {
            follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
        }
        assert_eq!(drain(&mut follower).0, written + 10, "down {down}");
    }
}

/// The same lines under another inode: an editor, `sed -i`, rsync; while the agent runs and while it does not.
#[test]
fn the_same_lines_under_another_inode_are_not_counted_again() {
    for down in [false, true] {
        let directory = history(0, NAMINGS[0].1);
        let log = directory.path().join("mail.log");
        let mut follower = Follower::new(&log, &[], None, false, AT_ONCE).unwrap();
        append(directory.path(), 1_000_000_000, 100);
        assert_eq!(drain(&mut follower).0, 100);
        let saved = follower.save();
        let mut text = fs::read_to_string(&log).unwrap();
        if !down {
            // A line at the front is taken out: nothing is where it was.
            text = text.split_once('\n').unwrap().1.to_owned();
        }
        fs::write(directory.path().join("new"), text + "one that is new\nand another one\n").unwrap();
        fs::rename(directory.path().join("new"), &log).unwrap();
        if down {
            follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
        }
        assert_eq!(drain(&mut follower).0, 2, "down {down}");
    }
}

/// A log that is a symbolic link is rotated beside its target.
#[test]
fn rotations_of_a_symbolic_link_are_found_beside_its_target() {
    let (directory, links) = (history(3, NAMINGS[0].1), tempfile::tempdir().unwrap());
    let link = links.path().join("maillog");
    std::os::unix::fs::symlink(directory.path().join("mail.log"), &link).unwrap();
    let mut follower = Follower::new(&link, &[], None, false, AT_ONCE).unwrap();
    append(directory.path(), 0, 10);
    assert_eq!(drain(&mut follower).0, 10);
    let saved = follower.save();
    append(directory.path(), 100, 10);
    rotate(directory.path(), NAMINGS[0].1, false);
    append(directory.path(), 200, 10);
    let mut follower = Follower::new(&link, &[], Some(saved), false, AT_ONCE).unwrap();
    assert_eq!(drain(&mut follower).0, 20);
}

/// A FIFO or a device is refused at once, as the log and beside it.
#[test]
fn what_is_no_regular_file_makes_nobody_wait() {
    let directory = history(3, NAMINGS[0].1);
    let log = directory.path().join("mail.log");
    let fifo = |name: &str| {
        let made = std::process::Command::new("mkfifo").arg(directory.path().join(name)).status().unwrap();
        assert!(made.success());
    };
    fifo("mail.log.9");
    fifo("mail.log.fifo");
    let mut follower = Follower::new(&log, &[], None, false, AT_ONCE).unwrap();
    append(directory.path(), 0, 10);
    assert_eq!(drain(&mut follower).0, 10);
    fs::remove_file(&log).unwrap();
    fifo("mail.log");
    let error = follower.read(1, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("is a FIFO"), "{error}");
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &log).unwrap();
    let error = Follower::new(&log, &[], None, false, AT_ONCE).err().unwrap().to_string();
    assert!(error.contains("is a device"), "{error}");
}

/// A generation in between that is damaged is a gap, once, and the log is read on.
#[test]
fn a_damaged_archive_in_between_is_a_gap() {
    let directory = history(3, NAMINGS[0].1);
    let log = directory.path().join("mail.log");
    let mut follower = Follower::new(&log, &[], None, false, AT_ONCE).unwrap();
    append(directory.path(), 0, 10);
    assert_eq!(drain(&mut follower).0, 10);
    let saved = follower.save();
    drop(follower);
    fs::rename(&log, directory.path().join("mail.log-20260101")).unwrap();
    let text: String = (0..9_000_u64).map(|n| format!("{} a line\n", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
    let packed = packed(text.as_bytes());
    fs::write(directory.path().join("mail.log-20260102.gz"), &packed[..packed.len() / 2]).unwrap();
    append(directory.path(), 100, 10);
    let mut follower = Follower::new(&log, &[], Some(saved), false, AT_ONCE).unwrap();
    let (mut gaps, mut last) = (0, 0);
    for _ in 0..20 {
        gaps += follower
            .read(1 << 20, &mut |chunk| last += memchr::memmem::find_iter(chunk, b"a new line").count())
            .unwrap()
            .gaps;
    }
    assert_eq!((gaps, last), (1, 10));
}

/// logrotate's compressors and its `olddir`, where a file system of its own makes every rotated log a copy.
#[test]
fn what_was_compressed_and_moved_away_is_read_on() {
    for (program, suffix) in [("gzip", "gz"), ("xz", "xz"), ("bzip2", "bz2"), ("zstd", "zst"), ("cat", "")] {
        for absolute in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let (log, old) = (directory.path().join("mail.log"), directory.path().join("old"));
            fs::create_dir(&old).unwrap();
            let olddir = if absolute { vec![old.clone()] } else { vec!["old".into()] };
            append(directory.path(), 0, 100);
            let mut follower = Follower::new(&log, &olddir, None, true, AT_ONCE).unwrap();
            assert_eq!(drain(&mut follower).0, 100);
            let saved = follower.save();
            drop(follower);
            append(directory.path(), 100, 50);
            let modified = fs::metadata(&log).unwrap().modified().unwrap();
            let to = old.join(if suffix.is_empty() { "mail.log.1".into() } else { format!("mail.log.1.{suffix}") });
            let text = crate::compressed::tests::pack(program, &log);
            fs::write(&to, text).unwrap();
            File::open(&to).unwrap().set_modified(modified).unwrap();
            fs::remove_file(&log).unwrap();
            append(directory.path(), 200, 7);
            let mut follower = Follower::new(&log, &olddir, Some(saved), false, AT_ONCE).unwrap();
            let mut gaps = 0;
            let mut lines = 0;
            for _ in 0..20 {
                let count = &mut |chunk: &[u8]| lines += memchr::memchr_iter(b'\n', chunk).count();
                gaps += follower.read(usize::MAX, count).unwrap().gaps;
            }
            assert_eq!((lines, gaps), (57, 0), "{program}, absolute: {absolute}");
        }
    }
}
