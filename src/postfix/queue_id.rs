//! Names of queue files: `mail_queue_id_ok` and `mail_scan_dir` of Postfix.
//!
//! Short ids are microseconds and inode in hexadecimal, long ones (enable_long_queue_ids) time and inode in base 52 and 51;
//! both are letters and digits. A directory of a hashed queue has one character, and nothing else has.

/// Whether a file of this name can be a queue file.
pub fn is_queue_id(name: &[u8]) -> bool {
    (2..=255).contains(&name.len()) && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Whether a directory of this name is part of a hashed queue.
pub fn is_hash_directory(name: &[u8]) -> bool {
    matches!(name, [c] if c.is_ascii_alphanumeric() || *c == b'_')
}

/// The digits of long ids: no vowels, so that ids are no words.
const DIGITS: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
/// Seconds and microseconds of a long id, in front of the `z` that separates the inode.
const SECONDS: usize = 6;
const MICROSECONDS: usize = 4;

/// The directory of a hashed queue that a file of this name is in, e.g. `4/5/`: its first characters, or for a long id the
/// first hexadecimal digits of its microseconds (mail_queue_dir, dir_forest).
pub fn hash_path(id: &[u8], depth: usize) -> Vec<u8> {
    let microseconds = microseconds(id).map(|m| format!("{m:05X}"));
    let hashed = microseconds.as_deref().map_or(id, str::as_bytes);
    let characters = hashed.iter().copied().chain(std::iter::repeat(b'_'));
    characters.take(depth).flat_map(|c| [c, b'/']).collect()
}

/// What a long id says; `None` for a short one.
fn microseconds(id: &[u8]) -> Option<u64> {
    let separator = memchr::memrchr(b'z', id).filter(|at| *at >= SECONDS + MICROSECONDS)?;
    id[separator - MICROSECONDS..separator].iter().try_fold(0, |sum, c| {
        let digit = DIGITS.iter().position(|d| d == c)?;
        Some(sum * DIGITS.len() as u64 + digit as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_both_kinds_and_nothing_else() {
        for id in ["45D2B99E04C", "4g8rJw5Ft4z1wH3", "3mwrrb0YvYzMnk"] {
            assert!(is_queue_id(id.as_bytes()), "{id}");
        }
        for name in ["", ".", "..", "4", ".nfs0001", "45D2B99E04C.tmp", "lost+found", "a b", "ä1234"] {
            assert!(!is_queue_id(name.as_bytes()), "{name}");
        }
        assert_eq!(hash_path(b"45D2B99E04C", 2), b"4/5/");
        assert_eq!(hash_path(b"45D2B99E04C", 0), b"");
        assert_eq!(hash_path(b"AB", 3), b"A/B/_/");
        // 000b (base 52: 31) is 0001F.
        assert_eq!(hash_path(b"4g8rJw000bz1wH3", 5), b"0/0/0/1/F/");
        assert_eq!(hash_path(b"z000", 1), b"z/", "too short for a long one");
        assert!(is_hash_directory(b"F") && !is_hash_directory(b".") && !is_hash_directory(b"FF"));
    }
}
