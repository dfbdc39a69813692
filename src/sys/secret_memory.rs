//! Memory for secrets that are kept for long: locked, in no core dump, not inherited by a process that
//! is forked off, and where the kernel has `memfd_secret` (Linux 5.14, on by default from 6.5) out of
//! everybody's reach, that of root reading `/proc/PID/mem` and of the kernel itself included.

use std::num::NonZeroUsize;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use nix::sys::mman::{
    MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap,
};
use nix::unistd::{Pid, ftruncate, getpid};

/// Bytes in such memory. In a process that was forked off since they are gone, and read as none.
pub struct SecretBytes {
    place: Place,
    length: usize,
}

enum Place {
    /// Pages of their own, in the process that made them.
    Pages { start: NonNull<u8>, owner: Pid },
    /// Where the system has no pages to give. Wiped when freed, as all of the heap is.
    Heap(Box<[u8]>),
}

// SAFETY: the pages belong to this value alone, and are written only before it is there and as it is dropped.
unsafe impl Send for SecretBytes {}
// SAFETY: as above; shared, they are only read.
unsafe impl Sync for SecretBytes {}

impl SecretBytes {
    /// Puts a copy of the bytes into secret memory; the original is the caller's to wipe.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let length = bytes.len();
        let pages =
            NonZeroUsize::new(length).and_then(|length| secret(length).or_else(|| locked(length)));
        let place = match pages {
            Some(start) => {
                // SAFETY: new pages of at least that length, which nobody else knows.
                unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), length) };
                Place::Pages {
                    start,
                    owner: getpid(),
                }
            }
            None => Place::Heap(bytes.into()),
        };
        Self { place, length }
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        match &self.place {
            Place::Pages { start, owner } if *owner == getpid() => {
                // SAFETY: written whole in `new`, mapped until the value is dropped, and in this process.
                unsafe { std::slice::from_raw_parts(start.as_ptr(), self.length) }
            }
            Place::Pages { .. } => &[],
            Place::Heap(bytes) => bytes,
        }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        if let Place::Pages { start, owner } = self.place
            && owner == getpid()
        {
            // SAFETY: mapped in this process with that length, and nobody's after this.
            unsafe {
                libc::explicit_bzero(start.as_ptr().cast(), self.length);
                // It fails for no pages of our own.
                let _unmapped = munmap(start.cast(), self.length);
            }
        }
    }
}

/// Pages that only this process can read.
fn secret(length: NonZeroUsize) -> Option<NonNull<u8>> {
    // SAFETY: plain numbers in, a new descriptor or an error out.
    let descriptor = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let descriptor = i32::try_from(descriptor)
        .ok()
        .filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: just opened, and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(descriptor) };
    ftruncate(&file, i64::try_from(length.get()).ok()?).ok()?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: new pages at a place of the kernel's choice.
    let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &file, 0) }.ok()?;
    not_inherited(start.cast(), length)
}

/// Pages that are never written to a disk.
fn locked(length: NonZeroUsize) -> Option<NonNull<u8>> {
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: new pages at a place of the kernel's choice.
    let start = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE) }.ok()?;
    // SAFETY: the pages just made. Where too much is locked already, or the kernel knows no such advice, they
    // are what other memory is.
    unsafe {
        let _locked = mlock(start, length.get());
        let _advised = madvise(start, length.get(), MmapAdvise::MADV_DONTDUMP);
    }
    not_inherited(start.cast(), length)
}

fn not_inherited(start: NonNull<u8>, length: NonZeroUsize) -> Option<NonNull<u8>> {
    // SAFETY: the caller's own new pages.
    let advised = unsafe { madvise(start.cast(), length.get(), MmapAdvise::MADV_DONTFORK) };
    if advised.is_err() {
        // SAFETY: as above; nothing refers to them.
        let _unmapped = unsafe { munmap(start.cast(), length.get()) };
        return None;
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::WaitStatus;
    use nix::unistd::{ForkResult, fork};

    fn places(bytes: &[u8]) -> Vec<SecretBytes> {
        let length = NonZeroUsize::new(bytes.len()).expect("bytes");
        let owner = getpid();
        let locked = locked(length).expect("pages");
        // SAFETY: new pages of that length.
        unsafe { locked.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        let locked = Place::Pages {
            start: locked,
            owner,
        };
        [locked, Place::Heap(bytes.into())]
            .into_iter()
            .map(|place| SecretBytes {
                place,
                length: bytes.len(),
            })
            .chain([SecretBytes::new(bytes)])
            .collect()
    }

    #[test]
    fn what_is_put_in_is_there_wherever_it_lies() {
        for length in [1, 4095, 4096, 4097, 100_000] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            for secret in places(&bytes) {
                assert_eq!(secret.expose(), bytes);
            }
        }
        assert_eq!(SecretBytes::new(b"").expose(), b"");
    }

    #[test]
    fn a_process_that_is_forked_off_has_none_of_it_and_does_not_crash_over_it() {
        let secret = SecretBytes::new(b"secret");
        assert!(matches!(secret.place, Place::Pages { .. }));
        // SAFETY: the new process allocates nothing and ends at once.
        match unsafe { fork() }.expect("a process") {
            ForkResult::Child => {
                let gone = secret.expose().is_empty();
                drop(secret);
                // SAFETY: ends the process.
                unsafe { libc::_exit(if gone { 7 } else { 1 }) }
            }
            ForkResult::Parent { child } => {
                #[expect(clippy::disallowed_methods, reason = "a process of this test's own")]
                let status = nix::sys::wait::waitpid(child, None).expect("its end");
                assert_eq!(status, WaitStatus::Exited(child, 7));
            }
        }
        assert_eq!(secret.expose(), b"secret");
    }
}
