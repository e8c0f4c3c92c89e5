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
        assert!(is_hash_directory(b"F") && !is_hash_directory(b".") && !is_hash_directory(b"FF"));
    }
}
