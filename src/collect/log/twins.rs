//! Two files with the same lines: Debian's old mail.log and mail.info, or a file and its copy on a loghost. Everything would
//! count twice, so the second is refused.

use memchr::memchr_iter;
use rustc_hash::{FxBuildHasher, FxHashSet};
use std::{
    hash::BuildHasher,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// So much of the end of a file is compared.
const RECENT: u64 = 64 * 1_024;
/// So many equal lines are no coincidence: a line has a timestamp and a process id.
const EQUAL: usize = 5;

/// What the ends of files say of one of them and those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It has the lines of this one.
    Twin(usize),
    /// All it has, if anything, another one has too: too little to tell.
    Alike,
    /// It has a line of its own, which another one may get yet.
    Apart,
    /// It has many, and shares none.
    Distinct,
}

/// What can be told of each file.
pub(super) fn compare(files: &[PathBuf]) -> Vec<Likeness> {
    let recent: Vec<FxHashSet<u64>> = files.iter().map(|file| lines(file).unwrap_or_default()).collect();
    let mut told: Vec<Likeness> = Vec::new();
    for (position, own) in recent.iter().enumerate() {
        let first = |earlier: &usize| !matches!(told[*earlier], Likeness::Twin(_));
        let common = |earlier: &usize| recent[*earlier].intersection(own).count();
        let most = (0..position).filter(first).max_by_key(|earlier| (common(earlier), position - earlier));
        let shared = most.as_ref().map_or(0, common);
        told.push(match most {
            Some(earlier) if shared >= EQUAL => Likeness::Twin(earlier),
            None => Likeness::Distinct,
            _ if shared == own.len() => Likeness::Alike,
            _ if shared == 0 && own.len() >= EQUAL => Likeness::Distinct,
            _ => Likeness::Apart,
        });
    }
    told
}

/// The whole lines at the end of a file, by hash.
fn lines(path: &Path) -> io::Result<FxHashSet<u64>> {
    let (file, meta) = super::tail::open(path)?;
    let size = meta.len();
    let mut bytes = vec![0; size.min(RECENT) as usize];
    let begin = size.saturating_sub(RECENT);
    file.read_exact_at(&mut bytes, begin)?;
    // The first one may be cut.
    let mut start = if size > RECENT { None } else { Some(0) };
    let mut hashes = FxHashSet::default();
    for newline in memchr_iter(b'\n', &bytes) {
        if let Some(start) = start
            && newline > start + 20
        {
            hashes.insert(FxBuildHasher.hash_one(&bytes[start..newline]));
        }
        start = Some(newline + 1);
    }
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_second_of_two_equal_streams() {
        let directory = tempfile::tempdir().unwrap();
        let line = |n: u32| format!("Nov 22 01:17:30 vm postfix/smtpd[{n}]: connect from unknown[192.0.2.{n}]\n");
        let files = ["mail.log", "other.log", "mail.info", "empty"].map(|name| directory.path().join(name));
        fs::write(&files[0], (0..3_000).map(line).collect::<String>()).unwrap();
        fs::write(&files[1], (3_000..6_000).map(line).collect::<String>() + &line(2_999)).unwrap();
        fs::write(&files[2], (2_500..3_000).map(line).collect::<String>()).unwrap();
        fs::write(&files[3], "").unwrap();
        let told = [Likeness::Distinct, Likeness::Apart, Likeness::Twin(0), Likeness::Alike];
        assert_eq!(compare(&files), told);
        assert_eq!(compare(&[directory.path().join("nowhere")]), [Likeness::Distinct]);
        // The first lines of a stream that begins are too few to tell.
        fs::write(&files[3], line(2_998) + &line(2_999)).unwrap();
        assert_eq!(compare(&files)[3], Likeness::Alike);
        fs::write(&files[3], (9_000..9_005).map(line).collect::<String>()).unwrap();
        assert_eq!(compare(&files)[3], Likeness::Distinct);
    }
}
