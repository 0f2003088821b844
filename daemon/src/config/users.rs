//! The numbers of users, which rules name by their names. Asks the system, directories of the network too, and may wait
//! for them.

use std::ffi::CString;

/// Longest entry of a user that is read, bytes.
const MOST_BYTES: usize = 1 << 20;

/// The number of the user of this name, if there is one.
pub fn id(name: &str) -> Option<u32> {
    let name = CString::new(name).ok().filter(|name| !name.is_empty())?;
    let mut room = vec![0_u8; 1024];
    loop {
        let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
        let mut found: *mut libc::passwd = std::ptr::null_mut();
        // SAFETY: the name ends with a zero byte, `entry` and `room` are writable for the lengths given and live beyond the
        // call, and `found` is set to `entry` or null by it.
        let code = unsafe {
            libc::getpwnam_r(name.as_ptr(), entry.as_mut_ptr(), room.as_mut_ptr().cast(), room.len(), &raw mut found)
        };
        if code == libc::ERANGE && room.len() < MOST_BYTES {
            room.resize(room.len() * 2, 0);
            continue;
        }
        if code != 0 || found.is_null() {
            return None;
        }
        // SAFETY: the call succeeded and `found` is not null, so that it has filled `entry`.
        return Some(unsafe { entry.assume_init() }.pw_uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_number_0_and_nobody_has_an_odd_name() {
        assert_eq!(id("root"), Some(0));
        assert_eq!(id("no such user"), None);
        assert_eq!(id(""), None);
        assert_eq!(id("a\0b"), None);
    }
}
