//! The follower against a model: a writer and a rotator that do anything, an agent that dies at any moment, and the truth.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
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
}

impl World {
    fn new(seed: u64, patience: Patience) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (written, half, gaps) = Default::default();
        let (truth, follower, now, disk) = Default::default();
        let random = Random(seed * 2 + 1);
        let mut world = Self { directory, random, written, half, truth, patience, follower, now, disk, gaps };
        // An older life that is not ours.
        fs::write(world.name(".1"), "history\n".repeat(3)).unwrap();
        fs::write(world.name(""), "").unwrap();
        world.start();
        world
    }

    fn name(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("mail.log{suffix}"))
    }

    fn start(&mut self) {
        self.now = self.disk.clone();
        let follower = Follower::new(&self.name(""), self.now.saved.clone(), false, self.patience);
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
        OpenOptions::new().write(true).truncate(true).open(self.name("")).unwrap();
        if self.random.below(3) == 0 {
            self.compress(".1");
        }
    }

    fn step(&mut self) {
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
        let mut follower = Follower::new(&path, None, from_start, AT_ONCE).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and ended\n").unwrap();
        let mut lines = 0;
        follower.read(1 << 20, &mut |chunk| lines += memchr::memchr_iter(b'\n', chunk).count()).unwrap();
        assert_eq!(lines, expected);
    }
}
