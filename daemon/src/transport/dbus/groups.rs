//! The user database: which groups a user is in, and the number of a group. Blocks (it may ask a directory server), so
//! it is called away from the loop. The only unsafe code of the transport.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::mem::MaybeUninit;

/// Entries that do not fit into this are not worth reading.
const MAX_BUFFER: usize = 1 << 20;

/// Every group of user `uid`, its own included; nothing if there is no such user.
pub fn of_user(uid: u32) -> io::Result<Vec<u32>> {
    let entry = lookup(|buffer: &mut [c_char], found: &mut MaybeUninit<libc::passwd>| {
        let mut result = std::ptr::null_mut();
        // SAFETY: `found` and `buffer` are valid for writes of their whole size, and the length given is the buffer's.
        let status =
            unsafe { libc::getpwuid_r(uid, found.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut result) };
        if status == 0 && !result.is_null() {
            // SAFETY: a successful call has filled `found`, whose name points into `buffer`, ended by a zero byte.
            let user = unsafe { found.assume_init_ref() };
            // SAFETY: as above.
            let name = unsafe { CStr::from_ptr(user.pw_name) };
            return Ok(Some((name.to_owned(), user.pw_gid)));
        }
        if status == 0 { Ok(None) } else { Err(io::Error::from_raw_os_error(status)) }
    })?;
    entry.map_or(Ok(Vec::new()), |(name, group)| list(&name, group))
}

/// The number of group `name`, if there is one.
pub fn named(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    lookup(|buffer: &mut [c_char], found: &mut MaybeUninit<libc::group>| {
        let mut result = std::ptr::null_mut();
        // SAFETY: `name` ends with a zero byte; `found` and `buffer` are valid for writes of their whole size.
        let status = unsafe {
            libc::getgrnam_r(name.as_ptr(), found.as_mut_ptr(), buffer.as_mut_ptr(), buffer.len(), &mut result)
        };
        if status == 0 && !result.is_null() {
            // SAFETY: a successful call has filled `found`.
            return Ok(Some(unsafe { found.assume_init_ref() }.gr_gid));
        }
        if status == 0 { Ok(None) } else { Err(io::Error::from_raw_os_error(status)) }
    })
}

/// Runs `read` with a buffer that grows until the entry fits.
fn lookup<E, T>(
    mut read: impl FnMut(&mut [c_char], &mut MaybeUninit<E>) -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let mut size = 1024;
    loop {
        let mut buffer = vec![0; size];
        match read(&mut buffer, &mut MaybeUninit::uninit()) {
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && size < MAX_BUFFER => size *= 2,
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            result => return result,
        }
    }
}

fn list(name: &CStr, group: libc::gid_t) -> io::Result<Vec<u32>> {
    let mut room: libc::c_int = 64;
    loop {
        let mut groups: Vec<libc::gid_t> = vec![0; usize::try_from(room).unwrap_or(0)];
        let mut count = room;
        // SAFETY: `name` ends with a zero byte, and `groups` has room for `count` entries.
        let result = unsafe { libc::getgrouplist(name.as_ptr(), group, groups.as_mut_ptr(), &mut count) };
        if result >= 0 {
            groups.truncate(usize::try_from(count).unwrap_or(0));
            return Ok(groups);
        }
        // Too little room: `count` says how much there should be.
        room = count.max(room.saturating_mul(2));
        if room > 65_536 {
            return Err(io::Error::other("a user in more than 65536 groups"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_in_the_group_root_and_nobody_knows_a_made_up_group() {
        let root = named("root").unwrap().unwrap();
        assert!(of_user(0).unwrap().contains(&root));
        assert_eq!(named("no-such-group-here").unwrap(), None);
        assert_eq!(of_user(u32::MAX - 7).unwrap(), Vec::<u32>::new());
    }
}
