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

/// For each file the earlier one that has the same lines, if there is one.
pub(super) fn twins(files: &[PathBuf]) -> Vec<Option<usize>> {
    let recent: Vec<FxHashSet<u64>> = files.iter().map(|file| lines(file).unwrap_or_default()).collect();
    let mut refused: Vec<Option<usize>> = Vec::new();
    for (position, own) in recent.iter().enumerate() {
        let twin = (0..position).find(|earlier| {
            refused[*earlier].is_none() && recent[*earlier].intersection(own).take(EQUAL).count() == EQUAL
        });
        refused.push(twin);
    }
    refused
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
        assert_eq!(twins(&files), [None, None, Some(0), None]);
        assert_eq!(twins(&[directory.path().join("nowhere")]), [None]);
    }
}
