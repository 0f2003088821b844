//! libhailort, opened at run time: the only place with its structures and its names. Decides nothing but whether a value can
//! be one; knows nothing of pauses, of the daemon or of JSON. Runs in the child only.
//!
//! # What was checked
//!
//! Against the parts of `hailort.h` of 4.18.0, 5.1.1 and 5.3.0 that are used here, and `hailort.cpp` and `expected.hpp` of
//! 4.23.0. Other versions of the majors 4 and 5 are taken to be like them; other majors are refused.
//!
//! | | 4.18.0 | 5.1.1 | 5.3.0 |
//! |---|---|---|---|
//! | `hailo_version_t` | 3 x u32 | same | not read |
//! | `hailo_device_id_t` | 32 bytes | same | not read |
//! | `hailo_chip_temperature_info_t` | f32, f32, u16 | same | same |
//! | `hailo_device_identity_t` | two flags, then the architecture at 56 | three flags, and still at 56 | not read |
//! | `hailo_extended_device_information_t` | clock at 0, then five flags | clock at 0, then six | not read |
//! | `hailo_health_info_t` (84 bytes) | checked | same | same |
//! | status codes | up to 84 | up to 97; those below have not moved | not read |
//!
//! Structures that grow at their end are read out of a room that is larger than any of them.
//!
//! # Throttling
//!
//! `hailo_get_throttling_state` tells only whether the protection is switched on. How far it throttles is told in three
//! ways: notifications, which come only while a device is held open, and this probe holds none; a C++ method,
//! `Device::get_health_information`; and the clock. The method is called by its linker name, and only where all that the
//! call rests on was read: libhailort 4.23 (`_hailo_device` begins with its `Device *`; `Expected` is the value and then
//! the status), and a Hailo-8 or 8L, whose firmware knows it. Its result is checked for what can be. The C++ calling
//! convention (Itanium) returns it through a hidden pointer, as C returns a structure of that size. [`Library::open`]
//! leaves it out if told to.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::status::{Health, Identity, Level, LibraryError, Status, Version};

/// Devices that are listed at most.
const MOST_DEVICES: usize = 16;
/// `HAILO_DVM_OPTIONS_AUTO` and `HAILO_POWER_MEASUREMENT_TYPES__AUTO`.
const AUTO: c_int = c_int::MAX;
/// The majors that are known.
const KNOWN: std::ops::RangeInclusive<u32> = 4..=5;
/// Room for a structure that may grow.
const ROOM: usize = 1024;
/// The versions whose C++ method may be called: major and minor.
const HEALTH_KNOWN: [(u32, u32); 1] = [(4, 23)];
/// `hailort::Device::get_health_information()`.
const HEALTH: &CStr = c"_ZN7hailort6Device22get_health_informationEv";

type Handle = *mut c_void;
type DeviceId = [u8; 32];

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawTemperature {
    ts0: f32,
    ts1: f32,
    sample_count: u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RawLevel {
    at_c: f32,
    until_c: f32,
    _clock_hz: u32,
}

/// `hailo_health_info_t`. Its flags are read as numbers, so that no value of them is invalid.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawHealth {
    _over_current_protection: u8,
    over_current_zone: u8,
    _red_over_current: f32,
    _over_current_throttling: u8,
    _temperature_throttling: u8,
    zone: u8,
    level: i8,
    levels: [RawLevel; 4],
    orange_c: i32,
    orange_until_c: i32,
    red_c: i32,
    red_until_c: i32,
    _over_current_clock_hz: u32,
    _temperature_clock_hz: u32,
}

/// `hailort::Expected<hailo_health_info_t>`.
#[repr(C)]
#[derive(Clone, Copy)]
struct ExpectedHealth {
    value: RawHealth,
    status: c_int,
}

const _: () = assert!(size_of::<RawHealth>() == 84 && size_of::<ExpectedHealth>() == 88);

#[repr(C, align(16))]
struct Room([u8; ROOM]);

impl Room {
    fn new() -> Room {
        Room([0; ROOM])
    }

    fn u32(&self, at: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        u32::from_ne_bytes(bytes)
    }
}

type StatusMessage = unsafe extern "C" fn(c_int) -> *const c_char;
type GetVersion = unsafe extern "C" fn(*mut [u32; 3]) -> c_int;
type Scan = unsafe extern "C" fn(*mut c_void, *mut DeviceId, *mut usize) -> c_int;
type Create = unsafe extern "C" fn(*const DeviceId, *mut Handle) -> c_int;
type Release = unsafe extern "C" fn(Handle) -> c_int;
type FillRoom = unsafe extern "C" fn(Handle, *mut Room) -> c_int;
type Temperature = unsafe extern "C" fn(Handle, *mut RawTemperature) -> c_int;
type Power = unsafe extern "C" fn(Handle, c_int, c_int, *mut f32) -> c_int;
type Throttling = unsafe extern "C" fn(Handle, *mut u8) -> c_int;
type GetHealth = unsafe extern "C" fn(*mut c_void) -> ExpectedHealth;

/// An open library.
pub struct Library {
    /// What it says of itself.
    pub version: Version,
    status_message: StatusMessage,
    scan: Scan,
    create: Create,
    release: Release,
    identify: FillRoom,
    extended: FillRoom,
    temperature: Temperature,
    power: Power,
    throttling: Throttling,
    health: Option<GetHealth>,
}

/// A handle of `dlopen`. It is never closed: a library that has started threads cannot be taken out under them.
struct Opened<'a> {
    handle: Handle,
    path: &'a Path,
}

impl Opened<'_> {
    fn open(path: &Path) -> Result<Opened<'_>, LibraryError> {
        let fail = |why| LibraryError::Open { path: path.to_owned(), why };
        let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| fail(error.to_string()))?;
        // SAFETY: the name is a string of C. The library's initialisers run, which is why this is a process of its own.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if !handle.is_null() {
            return Ok(Opened { handle, path });
        }
        // SAFETY: it returns null or a string that lives until the next call of its family in this thread.
        let why = unsafe { text(libc::dlerror()) };
        Err(fail(why))
    }

    /// # Safety
    /// `F` is the type of a pointer to the function of this name.
    unsafe fn symbol<F: Copy>(&self, name: &CStr) -> Result<F, LibraryError> {
        // SAFETY: the handle is open and the name a string of C.
        let found = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        if found.is_null() || size_of::<F>() != size_of::<*mut c_void>() {
            let name = name.to_string_lossy().into_owned();
            return Err(LibraryError::Symbol { path: self.path.to_owned(), name });
        }
        // SAFETY: not null, of the same size, and by the caller's word a pointer of this type.
        Ok(unsafe { std::mem::transmute_copy(&found) })
    }
}

impl Library {
    /// Opens the library at `path`; with `c_only` its C++ method is left alone.
    pub fn open(path: &Path, c_only: bool) -> Result<Library, LibraryError> {
        let opened = Opened::open(path)?;
        // SAFETY: the types are those of hailort.h in the checked versions; see the top. Before the version is known, only
        // the two functions that have been the same in all of them are called.
        unsafe {
            let status_message: StatusMessage = opened.symbol(c"hailo_get_status_message")?;
            let version = version(&opened, status_message)?;
            let library = Library {
                version,
                status_message,
                scan: opened.symbol(c"hailo_scan_devices")?,
                create: opened.symbol(c"hailo_create_device_by_id")?,
                release: opened.symbol(c"hailo_release_device")?,
                identify: opened.symbol(c"hailo_identify")?,
                extended: opened.symbol(c"hailo_get_extended_device_information")?,
                temperature: opened.symbol(c"hailo_get_chip_temperature")?,
                power: opened.symbol(c"hailo_power_measurement")?,
                throttling: opened.symbol(c"hailo_get_throttling_state")?,
                // It is no part of the interface; one that has none tells less.
                health: match HEALTH_KNOWN.contains(&(version.0, version.1)) && !c_only {
                    true => opened.symbol(HEALTH).ok(),
                    false => None,
                },
            };
            Ok(library)
        }
    }

    /// Addresses of the devices that it finds.
    pub fn scan(&self) -> Result<Vec<String>, Status> {
        let mut ids = [[0u8; 32]; MOST_DEVICES];
        let mut count = ids.len();
        // SAFETY: no parameters is what it takes; it writes at most `count` ids, and then how many.
        self.check(unsafe { (self.scan)(std::ptr::null_mut(), ids.as_mut_ptr(), &raw mut count) })?;
        Ok(ids.iter().take(count).map(|id| until_nul(id)).collect())
    }

    /// Opens a device until the result is dropped.
    pub fn device(&self, id: &str) -> Result<OpenDevice<'_>, Status> {
        let mut raw: DeviceId = [0; 32];
        // The last byte stays zero.
        for (to, from) in raw.iter_mut().take(31).zip(id.bytes()) {
            *to = from;
        }
        let mut handle: Handle = std::ptr::null_mut();
        // SAFETY: the id ends in a zero; the handle is written on success.
        self.check(unsafe { (self.create)(&raw const raw, &raw mut handle) })?;
        if handle.is_null() {
            return Err(Status { code: 0, message: "success without a device".into() });
        }
        Ok(OpenDevice { library: self, handle })
    }

    fn check(&self, code: c_int) -> Result<(), Status> {
        status(code, self.status_message)
    }
}

/// The version, if it is one that is known.
///
/// # Safety
/// The message function is the library's own.
unsafe fn version(opened: &Opened<'_>, message: StatusMessage) -> Result<Version, LibraryError> {
    // SAFETY: it is the type of that function in all versions.
    let get: GetVersion = unsafe { opened.symbol(c"hailo_get_library_version")? };
    let mut told = [0u32; 3];
    let path = || opened.path.to_owned();
    // SAFETY: three numbers are written.
    let code = unsafe { get(&raw mut told) };
    status(code, message).map_err(|status| LibraryError::Version { path: path(), status })?;
    let [major, minor, revision] = told;
    match major {
        _ if KNOWN.contains(&major) => Ok(Version(major, minor, revision)),
        _ if major > *KNOWN.end() => Err(LibraryError::TooNew { path: path(), major, minor }),
        _ => Err(LibraryError::TooOld { path: path(), major, minor }),
    }
}

fn status(code: c_int, message: StatusMessage) -> Result<(), Status> {
    match code {
        0 => Ok(()),
        // SAFETY: it returns null or a string that is a constant of the library.
        code => Err(Status { code, message: unsafe { text(message(code)) } }),
    }
}

/// # Safety
/// Null, or a string of C.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return "no words for it".to_owned();
    }
    // SAFETY: by the caller's word.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

/// A device that is held. It is released with this.
pub struct OpenDevice<'a> {
    library: &'a Library,
    handle: Handle,
}

impl OpenDevice<'_> {
    /// What it is.
    pub fn identify(&self) -> Result<Identity, Status> {
        let mut room = Room::new();
        // SAFETY: the device is open, and the room larger than the structure.
        self.library.check(unsafe { (self.library.identify)(self.handle, &raw mut room) })?;
        let architecture = i32::from_ne_bytes(room.u32(56).to_ne_bytes());
        let name = match architecture {
            0 | 1 => "Hailo-8",
            2 => "Hailo-8L",
            3 => "Hailo-15H",
            4 => "Hailo-15L",
            5 => "Hailo-15M",
            6 => "Hailo-10H",
            _ => "",
        };
        // Of a device that is not known here, its board's name.
        let name = if name.is_empty() { until_nul(&room.0[21..53]) } else { name.to_owned() };
        Ok(Identity { architecture, name, firmware: Version(room.u32(4), room.u32(8), room.u32(12)) })
    }

    /// Clock of its cores, hertz.
    pub fn clock_hz(&self) -> Result<u32, Status> {
        let mut room = Room::new();
        // SAFETY: the device is open, and the room larger than the structure.
        self.library.check(unsafe { (self.library.extended)(self.handle, &raw mut room) })?;
        Ok(room.u32(0))
    }

    /// Its two thermometers, degrees Celsius; `None` before it has taken a sample.
    pub fn temperatures_c(&self) -> Result<Option<[f32; 2]>, Status> {
        let mut raw = RawTemperature::default();
        // SAFETY: the device is open; the structure is the same in all versions.
        self.library.check(unsafe { (self.library.temperature)(self.handle, &raw mut raw) })?;
        Ok((raw.sample_count > 0).then_some([raw.ts0, raw.ts1]))
    }

    /// Watts, of the rail that the board measures.
    pub fn power_w(&self) -> Result<f32, Status> {
        let mut watts = 0f32;
        // SAFETY: the device is open; one number is written.
        self.library.check(unsafe { (self.library.power)(self.handle, AUTO, AUTO, &raw mut watts) })?;
        Ok(watts)
    }

    /// Whether its protection against heat and current is switched on.
    pub fn is_protected(&self) -> Result<bool, Status> {
        let mut active = 0u8;
        // SAFETY: the device is open; one byte is written, which C calls a bool.
        self.library.check(unsafe { (self.library.throttling)(self.handle, &raw mut active) })?;
        Ok(active != 0)
    }

    /// What its firmware does against heat; `None` if this library or device does not tell.
    pub fn health(&self, architecture: i32) -> Option<Result<Health, Status>> {
        let get = self.library.health.filter(|_| (0..=2).contains(&architecture))?;
        // SAFETY: the structure behind the handle begins with the pointer to the C++ object, which lives until the release.
        let told = unsafe { get(self.handle.cast::<*mut c_void>().read()) };
        if let Err(status) = self.library.check(told.status) {
            return Some(Err(status));
        }
        Some(plausible(&told.value).ok_or_else(|| Status { code: 0, message: "values that cannot be".into() }))
    }
}

impl Drop for OpenDevice<'_> {
    fn drop(&mut self) {
        // SAFETY: it is open, and nobody uses it after this. It fails for null alone.
        unsafe { (self.library.release)(self.handle) };
    }
}

/// The values, if a firmware can have told them.
fn plausible(raw: &RawHealth) -> Option<Health> {
    let possible = (-1..=3).contains(&raw.level) && raw.zone <= 2 && raw.over_current_zone <= 1;
    let whole = |at: i32, until: i32| {
        let at_c = f32::from(i16::try_from(at).ok()?);
        Some(Level { at_c, until_c: f32::from(i16::try_from(until).ok()?) })
    };
    possible.then_some(Health {
        over_current: raw.over_current_zone == 1,
        zone: raw.zone,
        level: raw.level,
        levels: raw.levels.map(|level| Level { at_c: level.at_c, until_c: level.until_c }),
        orange: whole(raw.orange_c, raw.orange_until_c)?,
        red: whole(raw.red_c, raw.red_until_c)?,
    })
}
