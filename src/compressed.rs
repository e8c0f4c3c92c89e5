//! Files that logrotate compressed: what is in them is told by their first octets, not by their names.
//!
//! Every decoder has a bound of memory, so that a file made to need gigabytes is an error and not the end of the agent.

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
};

/// How logrotate's compressors end names.
const SUFFIXES: [&str; 4] = [".gz", ".xz", ".bz2", ".zst"];
/// What `xz -9` needs to be read, the most that its presets ask for: 65 MiB.
const XZ_KIB: u32 = 66 << 10;
/// What `zstd --long` uses is 128 MiB; every level up to 19 is content with 8.
const ZSTD_WINDOW: u64 = 32 << 20;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gzip,
    Xz,
    Bzip2,
    Zstd,
}

impl Form {
    fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Self::Bzip2),
            // A frame, or one to be skipped as pzstd begins with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn decoder(self, input: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        let input = BufReader::with_capacity(64 << 10, input);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Xz => Box::new(XzReader::new_mem_limit(input, true, XZ_KIB)),
            Self::Bzip2 => Box::new(MultiBzDecoder::new(input)),
            Self::Zstd => Box::new(Frames::new(input)),
        }
    }
}

/// The text in a compressed file, from its start; `None` for one that is not compressed, whose position is unmoved.
pub(crate) fn reader(file: &File) -> io::Result<Option<Box<dyn Read + Send>>> {
    let mut start = [0; 6];
    let length = file.read_at(&mut start, 0)?;
    let Some(form) = Form::of(start.get(..length).unwrap_or_default()) else { return Ok(None) };
    Ok(Some(form.decoder(FromStart { file: file.try_clone()?, at: 0 })))
}

/// The text of what is read from a pipe, compressed or not.
pub(crate) fn of_stream(mut input: impl Read + Send + 'static) -> io::Result<Box<dyn Read>> {
    let mut start = Vec::new();
    input.by_ref().take(6).read_to_end(&mut start)?;
    let form = Form::of(&start);
    let input = io::Cursor::new(start).chain(input);
    Ok(match form {
        Some(form) => form.decoder(input),
        None => Box::new(input),
    })
}

/// Whether a name says that what is in it is compressed: what is told of a file that is not opened.
pub(crate) fn is_named(path: &Path) -> bool {
    path.to_str().is_some_and(|path| stem(path).is_some())
}

/// A name without the suffix of its compression, if it has one.
pub(crate) fn stem(name: &str) -> Option<&str> {
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))
}

/// Reads from the start whatever the position of the file is, which others may share.
struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// zstd's frames one after the other, as `zstd` appends them and pzstd splits a file; the crate decodes one.
struct Frames<R> {
    input: R,
    decoder: FrameDecoder,
    /// Inside a frame.
    open: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(input: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW);
        Self { input, decoder, open: false }
    }

    /// Begins the next frame; `false` at the end of the file.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.input) {
                Ok(()) => {
                    self.open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(e) => return Err(damaged(&e)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.open || self.begin()? {
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(|e| damaged(&e))?;
            }
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            self.open = false;
        }
        Ok(0)
    }
}

fn damaged(e: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, e.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{child, stop::Stop};
    use std::{ffi::OsStr, fs, io::Write, time::Duration};

    /// What a compressor makes of a file.
    pub(crate) fn pack(program: &str, file: &Path) -> Vec<u8> {
        let arguments: &[&OsStr] = if program == "cat" { &[file.as_ref()] } else { &["-c".as_ref(), file.as_ref()] };
        let output = child::run(Path::new(program), arguments, Duration::from_secs(60), &Stop::default()).unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.said));
        output.out
    }

    /// What the real compressors write, two of them one after the other.
    #[test]
    fn what_the_compressors_write_is_read_whatever_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let text: Vec<u8> = (0..20_000).flat_map(|n: u32| format!("line {n}\n").into_bytes()).collect();
        let plain = directory.path().join("plain");
        fs::write(&plain, &text).unwrap();
        assert!(reader(&File::open(&plain).unwrap()).unwrap().is_none());
        for program in ["gzip", "xz", "bzip2", "zstd"] {
            let packed = pack(program, &plain);
            let path = directory.path().join("packed");
            fs::write(&path, &packed).unwrap();
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&packed).unwrap();
            let file = File::open(&path).unwrap();
            let mut read = Vec::new();
            reader(&file).unwrap().unwrap().read_to_end(&mut read).unwrap();
            assert!(read == text.repeat(2), "{program}: {} of {} octets", read.len(), text.len() * 2);
            // Cut anywhere it is an error or ends, and nothing panics.
            for length in (0..packed.len()).step_by(packed.len() / 50 + 1) {
                fs::write(&path, &packed[..length]).unwrap();
                let Some(mut reader) = reader(&File::open(&path).unwrap()).unwrap() else { continue };
                let mut read = Vec::new();
                let _ = reader.read_to_end(&mut read);
                assert!(text.starts_with(&read), "{program} cut at {length}");
            }
        }
    }
}
