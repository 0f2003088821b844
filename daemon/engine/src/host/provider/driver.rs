//! The few calls to NVIDIA's driver. All raw `unsafe` against it is here.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::Path;
use std::ptr::NonNull;

use crate::host::raw::{self, Library};

/// The library's name, on a board and on a machine with slots.
const LIBRARY: &str = "libcuda.so.1";

type Init = unsafe extern "C" fn(c_uint) -> c_int;
type Count = unsafe extern "C" fn(*mut c_int) -> c_int;
type Text = unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int;

/// Starts the driver and says how many devices it has. The error is in its own words.
pub fn devices() -> Result<usize, String> {
    devices_of(Path::new(LIBRARY))
}

/// The same of the driver at this place, or of this name.
fn devices_of(path: &Path) -> Result<usize, String> {
    let library = raw::open_library(path)?;
    let lacks = |name: &CStr| format!("{} has no function {}", path.display(), name.to_string_lossy());
    let (init, count) = (c"cuInit", c"cuDeviceGetCount");
    let (Some(start), Some(many)) = (library.symbol(init), library.symbol(count)) else {
        return Err(lacks(if library.symbol(init).is_none() { init } else { count }));
    };
    // SAFETY: the function of this name has this type in every version of the driver.
    let start = unsafe { std::mem::transmute::<NonNull<c_void>, Init>(start) };
    // SAFETY: as above.
    let many = unsafe { std::mem::transmute::<NonNull<c_void>, Count>(many) };
    // SAFETY: no flags are known; the driver may be started again by others.
    said(&library, unsafe { start(0) })?;
    let mut devices = 0;
    // SAFETY: the call fills the place.
    said(&library, unsafe { many(&raw mut devices) })?;
    Ok(usize::try_from(devices).unwrap_or(0))
}

/// A result that is not 0, by its name and in words.
fn said(library: &Library, result: c_int) -> Result<(), String> {
    if result == 0 {
        return Ok(());
    }
    let text = |name: &CStr| {
        let function = library.symbol(name)?;
        // SAFETY: as above.
        let function = unsafe { std::mem::transmute::<NonNull<c_void>, Text>(function) };
        let mut text = std::ptr::null();
        // SAFETY: the call fills the place with a text that stays, or with null.
        let known = unsafe { function(result, &raw mut text) } == 0 && !text.is_null();
        // SAFETY: such a text ends with NUL.
        known.then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    let name = text(c"cuGetErrorName").unwrap_or_else(|| format!("error {result}"));
    Err(match text(c"cuGetErrorString") {
        Some(words) => format!("{name}: {words}"),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// By the names and types of cuda.h.
    const FAKE: &str = r#"
        int cuInit(unsigned flags) { return START; }
        int cuDeviceGetCount(int *count) { *count = 2; return 0; }
        int cuGetErrorName(int error, const char **text) { if (error != 100) return 1; *text = "CUDA_ERROR_NO_DEVICE"; return 0; }
        int cuGetErrorString(int error, const char **text) { if (error != 100) return 1; *text = "no CUDA-capable device is detected"; return 0; }
    "#;

    #[test]
    fn a_driver_says_how_many_devices_it_has_or_why_it_has_none() {
        let cases = [
            (0, Ok(2)),
            (100, Err("CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected".to_owned())),
            (7, Err("error 7".to_owned())),
        ];
        for (start, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let (source, library) = (dir.path().join("cuda.c"), dir.path().join(LIBRARY));
            std::fs::write(&source, FAKE).unwrap();
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", &format!("-DSTART={start}"), "-o"]).arg(&library).arg(&source);
            let made = match cc.output() {
                Ok(made) => made,
                Err(error) => {
                    assert!(std::env::var_os("CI").is_none(), "cc: {error}");
                    return println!("SKIPPED: no C compiler: cc: {error} (make need)");
                }
            };
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            assert_eq!(devices_of(&library), expected);
        }
    }

    #[test]
    fn what_is_no_driver_is_named() {
        let missing = devices_of(Path::new("libcuda-of-nobody.so.1")).unwrap_err();
        assert!(missing.contains("libcuda-of-nobody.so.1"), "{missing}");
        assert!(devices_of(Path::new("libc.so.6")).unwrap_err().contains("has no function cuInit"));
    }
}
