//! An allocator that overwrites memory before it gives it back, so that no secret stays behind where
//! one was read, sent, grown or moved, by whatever library.

use std::alloc::{GlobalAlloc, Layout};

// musl's own allocator returns pages to the kernel as soon as they are free, and asks for them again with the
// next request: twice as many page faults in a run.
#[cfg(target_env = "musl")]
use dlmalloc::GlobalDlmalloc as Underlying;
#[cfg(not(target_env = "musl"))]
use std::alloc::System as Underlying;

/// Another allocator, with every block wiped before it is freed. A block that grows or shrinks is
/// copied to a new one and freed: that is what [`GlobalAlloc::realloc`] does where nothing else is said.
struct Wiping<A>(A);

/// Lets a process that is forked off allocate, whoever had the allocator's lock. To be called once, before `main`.
pub(super) fn allow_forks() {
    #[cfg(target_env = "musl")]
    // SAFETY: nothing has been allocated yet.
    unsafe {
        dlmalloc::enable_alloc_after_fork();
    }
}

#[global_allocator]
static ALLOCATOR: Wiping<Underlying> = Wiping(Underlying);

// SAFETY: every call goes to the other allocator, with the caller's promises passed on as they are.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block has that size and is nobody else's any more; then the caller's promise.
        unsafe {
            libc::explicit_bzero(block.cast(), layout.size());
            self.0.dealloc(block, layout);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;
    use std::cell::RefCell;

    /// Keeps what is in each block when it is freed.
    #[derive(Default)]
    struct Watching(RefCell<Vec<Vec<u8>>>);

    // SAFETY: every call goes to the system's allocator.
    unsafe impl GlobalAlloc for Watching {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the block is whole, and initialised by the test.
            let content = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            self.0.borrow_mut().push(content.to_vec());
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(block, layout) }
        }
    }

    #[test]
    fn a_block_is_empty_when_it_is_freed_or_has_moved_to_grow_or_shrink() {
        let allocator = Wiping(Watching::default());
        let layout = |size| Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: each block is used within its size, and freed once with the layout it has by then.
        unsafe {
            let block = allocator.alloc(layout(100));
            block.write_bytes(7, 100);
            let block = allocator.realloc(block, layout(100), 5000);
            assert_eq!(std::slice::from_raw_parts(block, 100), [7; 100]);
            block.write_bytes(8, 5000);
            let block = allocator.realloc(block, layout(5000), 50);
            assert_eq!(std::slice::from_raw_parts(block, 50), [8; 50]);
            allocator.dealloc(block, layout(50));
        }
        let left = allocator.0.0.into_inner();
        assert_eq!(left, [vec![0; 100], vec![0; 5000], vec![0; 50]]);
    }
}
