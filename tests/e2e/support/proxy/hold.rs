//! Requests and answers that are held back until the test lets them go.

use super::Shared;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A handle on a request that waits: the test sees it come and lets it go on.
#[derive(Clone, Default)]
pub struct Hold {
    shared: Arc<(Mutex<HoldState>, Condvar)>,
}

#[derive(Default)]
struct HoldState {
    arrived: usize,
    released: bool,
}

impl Hold {
    /// A new one; it may hold several requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until a request is held: with `HoldAnswer` the server has acted by then.
    #[track_caller]
    pub fn wait_arrived(&self) {
        let (state, changed) = &*self.shared;
        let (state, timeout) = changed
            .wait_timeout_while(state.lock().unwrap(), Duration::from_secs(90), |state| {
                state.arrived == 0
            })
            .unwrap();
        drop(state);
        assert!(!timeout.timed_out(), "the request to hold never came");
    }

    /// Lets it go on, and all later ones.
    pub fn release(&self) {
        self.shared.0.lock().unwrap().released = true;
        self.shared.1.notify_all();
    }

    /// False when the proxy ends meanwhile.
    pub(super) fn pause(&self, proxy: &Shared) -> bool {
        let (state, changed) = &*self.shared;
        let mut state = state.lock().unwrap();
        state.arrived += 1;
        changed.notify_all();
        while !state.released && !proxy.is_closing() {
            state = changed
                .wait_timeout(state, Duration::from_millis(50))
                .unwrap()
                .0;
        }
        state.released
    }
}
