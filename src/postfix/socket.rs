//! Addresses of Postfix's sockets.

use rustix::{fs::OFlags, io, net::SocketAddrUnix};
use std::{
    fs::{File, OpenOptions},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
};

/// Where a socket is. Lasts as long as what it borrows.
pub(super) struct Address {
    pub(super) address: SocketAddrUnix,
    /// What a long path is entered by.
    _directory: Option<File>,
}

/// sun_path has 108 octets; a longer path is entered by its directory.
pub(super) fn address(path: &Path) -> std::io::Result<Address> {
    match SocketAddrUnix::new(path) {
        Ok(address) => Ok(Address { address, _directory: None }),
        Err(io::Errno::NAMETOOLONG) => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(io::Errno::NAMETOOLONG.into());
            };
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let directory = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(parent)?;
            let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
            Ok(Address { address: SocketAddrUnix::new(&short)?, _directory: Some(directory) })
        }
        Err(e) => Err(e.into()),
    }
}
