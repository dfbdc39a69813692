//! Memory for secrets that are kept for long: locked, in no core dump, not inherited by a process that
//! is forked off, and where the kernel has `memfd_secret` (Linux 5.14, on by default from 6.5) out of
//! everybody's reach, that of root reading `/proc/PID/mem` and of the kernel itself included.

use std::num::NonZeroUsize;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// In a block of the process that made it.
    Block { start: NonNull<u8>, owner: Pid },
    /// Where the system has no pages to give. Wiped when freed, as all of the heap is.
    Heap(Box<[u8]>),
}

// SAFETY: its part of a block belongs to this value alone, and is written only before it is there and as it is dropped.
unsafe impl Send for SecretBytes {}
// SAFETY: as above; shared, it is only read.
unsafe impl Sync for SecretBytes {}

impl SecretBytes {
    /// Puts a copy of the bytes into secret memory; the original is the caller's to wipe.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let length = bytes.len();
        let owner = getpid();
        let start = NonZeroUsize::new(length).and_then(|length| blocks(owner).take(length));
        let place = match start {
            Some(start) => {
                // SAFETY: room for that length, which is nobody else's.
                unsafe { start.copy_from_nonoverlapping(NonNull::from(bytes).cast(), length) };
                Place::Block { start, owner }
            }
            None => Place::Heap(bytes.into()),
        };
        Self { place, length }
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        match &self.place {
            Place::Block { start, owner } if *owner == getpid() => {
                // SAFETY: written whole in `new`, this value's until it is dropped, and in this process.
                unsafe { std::slice::from_raw_parts(start.as_ptr(), self.length) }
            }
            Place::Block { .. } => &[],
            Place::Heap(bytes) => bytes,
        }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        if let Place::Block { start, owner } = self.place
            && owner == getpid()
        {
            // SAFETY: this value's own, in this process.
            unsafe { libc::explicit_bzero(start.as_ptr().cast(), self.length) };
            blocks(owner).give_back(start, self.length);
        }
    }
}

/// Wipes all of it, for a process that ends without giving it back. Nothing may be read from it afterwards.
pub fn wipe_all() {
    blocks(getpid()).wipe();
}

/// Into how many parts a block is divided: one for each bit of [`Block::used`].
const PARTS: usize = 64;
/// The smallest block, in bytes: a page, so that a part has room for a usual token or secret id.
const PAGE: usize = 4096;

/// Pages that several secrets share: the kernel takes longer over a page of this kind than over all else that is
/// done with a secret.
struct Block {
    start: NonNull<u8>,
    length: NonZeroUsize,
    /// Which parts are in use, the first one lowest.
    used: u64,
}

impl Block {
    /// A new one with room for that many bytes.
    fn new(room: NonZeroUsize) -> Option<Self> {
        let length = NonZeroUsize::new(room.get().checked_next_multiple_of(PAGE)?)?;
        let start = secret(length).or_else(|| locked(length))?;
        Some(Self {
            start,
            length,
            used: 0,
        })
    }

    /// The bits of the parts that so many bytes take, were they the first ones; nothing if there are not as many.
    const fn parts(&self, bytes: usize) -> Option<u64> {
        match bytes.div_ceil(self.length.get() / PARTS) {
            0 => None,
            count @ ..PARTS => Some((1 << count) - 1),
            PARTS => Some(u64::MAX),
            _ => None,
        }
    }

    fn take(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        let parts = self.parts(bytes)?;
        let first = (0..=parts.leading_zeros()).find(|first| self.used & (parts << first) == 0)?;
        self.used |= parts << first;
        let offset = usize::try_from(first).ok()? * (self.length.get() / PARTS);
        // SAFETY: the parts found lie in the block.
        Some(unsafe { self.start.add(offset) })
    }

    /// Takes back what `take` gave; says whether that was here.
    fn give_back(&mut self, start: NonNull<u8>, bytes: usize) -> bool {
        let offset = start.addr().get().wrapping_sub(self.start.addr().get());
        if offset >= self.length.get() {
            return false;
        }
        let first = offset / (self.length.get() / PARTS);
        self.used &= !(self.parts(bytes).unwrap_or_default() << first);
        true
    }
}

/// The blocks of one process.
struct Blocks {
    owner: Option<Pid>,
    blocks: Vec<Block>,
}

// SAFETY: the pages may be used by any thread; who does has the lock.
unsafe impl Send for Blocks {}

impl Blocks {
    fn take(&mut self, bytes: NonZeroUsize) -> Option<NonNull<u8>> {
        let found = self
            .blocks
            .iter_mut()
            .find_map(|block| block.take(bytes.get()));
        found.or_else(|| {
            let mut block = Block::new(bytes)?;
            let start = block.take(bytes.get());
            self.blocks.push(block);
            start
        })
    }

    fn wipe(&self) {
        for block in &self.blocks {
            // SAFETY: mapped for as long as it is in the list; and nobody reads it any more.
            unsafe { libc::explicit_bzero(block.start.as_ptr().cast(), block.length.get()) };
        }
    }

    fn give_back(&mut self, start: NonNull<u8>, bytes: usize) {
        let mut blocks = self.blocks.iter_mut();
        let Some(index) = blocks.position(|block| block.give_back(start, bytes)) else {
            return;
        };
        if let Some(block) = self.blocks.get(index).filter(|block| block.used == 0) {
            // SAFETY: nobody's any more. It fails for no pages of our own.
            let _unmapped = unsafe { munmap(block.start.cast(), block.length.get()) };
            self.blocks.swap_remove(index);
        }
    }
}

/// The blocks of this process. A process is forked off only where there is no other thread, so that nobody holds the
/// lock at that time.
fn blocks(owner: Pid) -> MutexGuard<'static, Blocks> {
    static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks {
        owner: None,
        blocks: Vec::new(),
    });
    let mut blocks = BLOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    if blocks.owner.replace(owner) != Some(owner) {
        // The process that this one was forked off from has not passed their pages on.
        blocks.blocks.clear();
    }
    blocks
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

    /// The same bytes in each kind of memory.
    fn places(bytes: &[u8]) -> Vec<SecretBytes> {
        let length = NonZeroUsize::new(bytes.len()).expect("bytes");
        let locked = locked(length).expect("pages");
        // SAFETY: new pages of that length.
        unsafe { locked.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        // It is in no block, and so it stays mapped.
        let locked = Place::Block {
            start: locked,
            owner: getpid(),
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
        for length in [1, 63, 64, 65, 4095, 4096, 4097, 100_000] {
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            for secret in places(&bytes) {
                assert_eq!(secret.expose(), bytes);
            }
        }
        assert_eq!(SecretBytes::new(b"").expose(), b"");
    }

    #[test]
    fn secrets_that_come_and_go_never_lie_in_one_place_and_leave_nothing_behind() {
        fastrand::seed(1);
        let mut kept: Vec<(SecretBytes, Vec<u8>)> = Vec::new();
        for round in 0..5000_usize {
            if fastrand::bool() || kept.is_empty() {
                let length = match fastrand::u8(..8) {
                    0 => fastrand::usize(1..20_000),
                    _ => fastrand::usize(1..300),
                };
                let bytes = vec![u8::try_from(round % 255).expect("a byte") + 1; length];
                kept.push((SecretBytes::new(&bytes), bytes));
            } else {
                drop(kept.swap_remove(fastrand::usize(..kept.len())));
            }
            for (secret, bytes) in &kept {
                assert_eq!(secret.expose(), bytes);
            }
        }
        let mut one = Blocks {
            owner: None,
            blocks: Vec::new(),
        };
        let length = NonZeroUsize::new(26).expect("a number");
        let places: Vec<_> = (0..=PARTS)
            .map(|_| one.take(length).expect("a place"))
            .collect();
        assert_eq!(one.blocks.len(), 2, "the first one is full");
        for place in places {
            one.give_back(place, 26);
        }
        assert!(one.blocks.is_empty());
    }

    #[test]
    fn at_the_end_of_the_process_nothing_is_left_in_it() {
        let mut blocks = Blocks {
            owner: None,
            blocks: Vec::new(),
        };
        for secret in [[7u8; 100].as_slice(), &[8; 9000]] {
            let length = NonZeroUsize::new(secret.len()).expect("bytes");
            let start = blocks.take(length).expect("pages");
            // SAFETY: room for that length, which is nobody else's.
            unsafe { start.copy_from_nonoverlapping(NonNull::from(secret).cast(), secret.len()) };
            blocks.wipe();
            // SAFETY: written just before.
            let left = unsafe { std::slice::from_raw_parts(start.as_ptr(), secret.len()) };
            assert!(left.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_process_that_is_forked_off_has_none_of_it_and_does_not_crash_over_it() {
        let secret = SecretBytes::new(b"secret");
        assert!(matches!(secret.place, Place::Block { .. }));
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
