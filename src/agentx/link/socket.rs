//! A connected stream socket that wakes us for what there is to read, and only then.
//!
//! tokio's own streams always ask the kernel for "writable" too. On a unix socket each read of the peer is then an event,
//! which made two wake-ups of every request and doubled its cost (benches/agentx). Here "writable" is asked for only while
//! something could not be written. tokio's pipe ends are what asks for one direction; they call read(2) and write(2),
//! which a stream socket answers exactly as a pipe does.

use bytes::{Buf, BytesMut};
use rustix::net::{SendFlags, send};
use std::{io, os::fd::OwnedFd};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::{Receiver, Sender},
};

/// Octets taken from the kernel at once.
const READ: usize = 16 * 1024;

pub(super) struct Reader(Receiver);

pub(super) struct Writer {
    fd: OwnedFd,
    /// Exists while the kernel takes no more.
    full: Option<Sender>,
}

/// The two directions of `socket`, which is connected and does not block.
pub(super) fn split(socket: OwnedFd) -> io::Result<(Reader, Writer)> {
    let fd = socket.try_clone()?;
    Ok((Reader(Receiver::from_owned_fd_unchecked(socket)?), Writer { fd, full: None }))
}

impl Reader {
    /// Appends what has arrived to `input`; 0 octets: the peer has closed. Loses nothing when it is dropped.
    pub(super) async fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        // A read that fills less than it might tells tokio that the kernel has no more: one call for a request.
        input.reserve(READ);
        loop {
            match self.0.read_buf(input).await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Writer {
    /// Writes what the kernel takes now, off the front of `output`; returns whether it took any.
    pub(super) fn write(&mut self, output: &mut BytesMut) -> io::Result<bool> {
        let before = output.len();
        while !output.is_empty() {
            let written = match &self.full {
                None => send(&self.fd, output, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).map_err(io::Error::from),
                Some(full) => full.try_write(output),
            };
            match written {
                // Not advanced: the next answers are written to the same memory.
                Ok(count) if count == output.len() => output.clear(),
                Ok(count) => output.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if output.is_empty() {
            self.full = None;
        } else if self.full.is_none() {
            self.full = Some(Sender::from_owned_fd_unchecked(self.fd.try_clone()?)?);
        }
        Ok(output.len() < before)
    }

    /// Waits until the kernel takes more; for ever when nothing was left.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match &self.full {
            Some(full) => full.writable().await,
            None => std::future::pending().await,
        }
    }
}
