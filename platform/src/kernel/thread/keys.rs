//! Values a thread keeps under shared keys (`pthread_key_create`).

use crate::base::lock::Lock;
use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

/// How many keys there can be. std takes two or three, C libraries rarely one.
const KEYS: usize = 32;
/// How often destructors run that set values again, as POSIX has it (PTHREAD_DESTRUCTOR_ITERATIONS).
const ROUNDS: usize = 4;

/// What runs on a thread's value when the thread ends.
pub(crate) type Destructor = Option<unsafe extern "C" fn(*mut c_void)>;

/// Each key's destructor; the outer `None` is a free key.
static DESTRUCTORS: Lock<[Option<Destructor>; KEYS]> = Lock::new([None; KEYS]);

/// One thread's values.
pub(crate) struct Values([Cell<*mut c_void>; KEYS]);

/// Takes a free key, or returns `None` when there is none.
pub(crate) fn create(destructor: Destructor) -> Option<u32> {
    let mut destructors = DESTRUCTORS.lock();
    let key = destructors.iter().position(Option::is_none)?;
    destructors[key] = Some(destructor);
    Some(key as u32)
}

/// Frees a key; false if it was free.
pub(crate) fn delete(key: u32) -> bool {
    DESTRUCTORS.lock().get_mut(key as usize).and_then(Option::take).is_some()
}

impl Values {
    pub(super) const fn new() -> Self {
        Self([const { Cell::new(ptr::null_mut()) }; KEYS])
    }

    /// Returns the value under `key`, null if none was set.
    pub(crate) fn get(&self, key: u32) -> *mut c_void {
        self.0.get(key as usize).map_or(ptr::null_mut(), Cell::get)
    }

    /// Sets the value under `key`; false if there is no such key.
    pub(crate) fn set(&self, key: u32, value: *mut c_void) -> bool {
        self.0.get(key as usize).map(|cell| cell.set(value)).is_some()
    }

    /// Runs the destructors, again for values they set.
    pub(super) fn destroy(&self) {
        for _ in 0..ROUNDS {
            let mut any = false;
            for (key, cell) in self.0.iter().enumerate() {
                let value = cell.replace(ptr::null_mut());
                // Not under the lock: a destructor does as it likes.
                let destructor = DESTRUCTORS.lock()[key].flatten();
                if let (false, Some(destructor)) = (value.is_null(), destructor) {
                    any = true;
                    // SAFETY: the creator of the key vouches for the destructor, and the thread for the value it set.
                    unsafe { destructor(value) };
                }
            }
            if !any {
                return;
            }
        }
    }
}
