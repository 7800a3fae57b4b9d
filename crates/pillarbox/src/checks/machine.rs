//! What the machine says of itself: memory, disk, clock, addresses and ports.

use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use net::{Access, Address, Listener};

use super::facts::{Clock, PortState};
use crate::clock::now;

/// The memory of the machine.
pub fn memory_bytes() -> Option<u64> {
    parse_memory(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// What is free where a folder is, or will be.
pub fn disk_bytes(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The clock, and whether the kernel says that it follows others. That is asked of timedatectl,
/// which knows it whatever program keeps the clock.
pub async fn clock() -> Clock {
    Clock { now: now(), is_synchronized: is_synchronized().await }
}

async fn is_synchronized() -> Option<bool> {
    tokio::task::spawn_blocking(ask_timedatectl).await.ok().flatten()
}

fn ask_timedatectl() -> Option<bool> {
    let mut asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let begun = Instant::now();
    while begun.elapsed() < TIMEDATECTL_PATIENCE {
        match asked.try_wait() {
            Ok(Some(_)) => {
                let mut said = String::new();
                asked.stdout.take()?.take(8).read_to_string(&mut said).ok()?;
                return parse_synchronized(&said);
            }
            Ok(None) => thread::sleep(TIMEDATECTL_PAUSE),
            Err(_) => break,
        }
    }
    // It may have ended meanwhile.
    let _ = asked.kill();
    let _ = asked.wait();
    None
}

fn parse_synchronized(said: &str) -> Option<bool> {
    match said.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// The addresses that the machine would use towards the world, if the world can see them. Nothing
/// is sent: the system only chooses a route.
pub fn own_addresses() -> Vec<IpAddr> {
    let towards = |bound: &str, far: &str| {
        let socket = UdpSocket::bind(bound).ok()?;
        socket.connect(far).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Addresses for documentation, RFC 5737 and RFC 3849: nobody is there.
    let all = [towards("0.0.0.0:0", "192.0.2.1:25"), towards("[::]:0", "[2001:db8::1]:25")];
    all.into_iter().flatten().filter(|address| is_public(*address)).collect()
}

/// Whether the world could reach an address. RFC 6890
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast()
                || is_shared)
        }
        // RFC 4291 §2.4: what is given out is within 2000::/3.
        IpAddr::V6(address) => {
            address.segments().first().is_some_and(|head| head & 0xe000 == 0x2000)
        }
    }
}

/// Whether we can listen at an address; `is_running` says that our own server runs.
pub fn port(address: &Address, is_running: bool) -> PortState {
    // The file of a socket is the server's to make and to replace.
    if matches!(address, Address::Unix(_)) {
        return if is_running { PortState::Ours } else { PortState::Free };
    }
    match Listener::bind(address, Access::Everyone) {
        Ok(_) => PortState::Free,
        Err(error) => match error.kind() {
            ErrorKind::AddrInUse if is_running => PortState::Ours,
            ErrorKind::AddrInUse => PortState::Taken,
            ErrorKind::PermissionDenied => PortState::Denied,
            _ => PortState::Failed(error.to_string()),
        },
    }
}

/// It asks a service that has to start, at worst.
const TIMEDATECTL_PATIENCE: Duration = Duration::from_secs(3);

/// It takes some milliseconds otherwise.
const TIMEDATECTL_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_units_of_1024() {
        let text = "MemTotal:        2048 kB\nMemFree: 1 kB\n";
        assert_eq!(parse_memory(text), Some(2 << 20));
        assert_eq!(parse_memory("MemFree: 1 kB\n"), None);
        assert_eq!(parse_memory("MemTotal: much\n"), None);
    }

    #[test]
    fn whether_the_clock_follows_others_is_said_or_not_known() {
        assert_eq!(parse_synchronized("yes\n"), Some(true));
        assert_eq!(parse_synchronized("no\n"), Some(false));
        assert_eq!(parse_synchronized(""), None);
    }

    #[test]
    fn a_disk_is_asked_before_its_folder_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let free = disk_bytes(&folder.path().join("not/yet"));
        assert!(free.is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn addresses_that_the_world_cannot_reach_are_not_public() {
        for text in ["10.0.0.1", "127.0.0.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1"] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["8.8.8.8", "100.128.0.1", "2001:4860::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn a_port_is_free_taken_or_ours() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(held.local_addr().unwrap());
        assert_eq!(port(&address, false), PortState::Taken);
        assert_eq!(port(&address, true), PortState::Ours);
        drop(held);
        assert_eq!(port(&address, false), PortState::Free);
        let nowhere = Address::Tcp("192.0.2.1:25".parse().unwrap());
        assert!(matches!(port(&nowhere, false), PortState::Failed(_) | PortState::Denied));
    }
}
