//! What is said to the kernel about a camera: its numbers and structures (linux/videodev2.h, 64 bits), and the one place of
//! them that is unsafe.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::ptr::NonNull;

use rustix::fs::OFlags;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `V4L2_BUF_TYPE_VIDEO_CAPTURE`
const CAPTURE: u32 = 1;
/// `V4L2_MEMORY_MMAP`
const MMAP: u32 = 1;
/// `V4L2_FIELD_ANY`
const ANY_FIELD: u32 = 0;
/// `V4L2_CAP_VIDEO_CAPTURE` and `V4L2_CAP_STREAMING`
const CAN_CAPTURE: u32 = 0x0000_0001;
const CAN_STREAM: u32 = 0x0400_0000;
/// `V4L2_CAP_DEVICE_CAPS`
const HAS_OWN: u32 = 0x8000_0000;
/// `V4L2_BUF_FLAG_ERROR`
const BROKEN: u32 = 0x0040;
const MJPEG: u32 = u32::from_le_bytes(*b"MJPG");
const JPEG: u32 = u32::from_le_bytes(*b"JPEG");
/// Pictures that the camera may be ahead.
const BUFFERS: u32 = 4;
/// Largest picture that is mapped.
const MOST_MAPPED: u32 = 64 << 20;

const QUERYCAP: Opcode = opcode::read::<Capability>(b'V', 0);
const S_FMT: Opcode = opcode::read_write::<Format>(b'V', 5);
const REQBUFS: Opcode = opcode::read_write::<RequestBuffers>(b'V', 8);
const QUERYBUF: Opcode = opcode::read_write::<Buffer>(b'V', 9);
const QBUF: Opcode = opcode::read_write::<Buffer>(b'V', 15);
const DQBUF: Opcode = opcode::read_write::<Buffer>(b'V', 17);
const STREAMON: Opcode = opcode::write::<i32>(b'V', 18);

/// `struct v4l2_capability`
#[repr(C)]
#[derive(Clone, Copy)]
struct Capability {
    driver: [u8; 16],
    card: [u8; 32],
    bus: [u8; 32],
    version: u32,
    capabilities: u32,
    device: u32,
    reserved: [u32; 3],
}

/// `struct v4l2_format` of a capture: `struct v4l2_pix_format` in its union.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Format {
    kind: u32,
    align: u32,
    width: u32,
    height: u32,
    pixels: u32,
    field: u32,
    line_bytes: u32,
    size: u32,
    rest: [u32; 44],
}

/// `struct v4l2_requestbuffers`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RequestBuffers {
    count: u32,
    kind: u32,
    memory: u32,
    capabilities: u32,
    flags: u32,
}

/// `struct v4l2_buffer`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Buffer {
    index: u32,
    kind: u32,
    used: u32,
    flags: u32,
    field: u32,
    align: u32,
    time: [i64; 2],
    timecode: [u32; 4],
    sequence: u32,
    memory: u32,
    offset: u64,
    length: u32,
    reserved: u32,
    request: i32,
    end: u32,
}

/// Why a camera gives no pictures.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    #[error("open it")]
    Open(#[source] io::Error),
    #[error("ask what it is, as it may be no camera")]
    Ask(#[source] io::Error),
    #[error("it takes no pictures by streaming")]
    NoCamera,
    #[error("ask it for JPEG")]
    Format(#[source] io::Error),
    #[error("it gives no JPEG, but {0}; takes a camera with MJPG")]
    NoJpeg(String),
    #[error("map its pictures")]
    Map(#[source] io::Error),
    #[error("start it")]
    Start(#[source] io::Error),
    #[error("take its next picture")]
    Next(#[source] io::Error),
    #[error("its picture has {size} bytes: takes up to {most}")]
    Large { size: u64, most: u64 },
}

/// A camera that is running. Closing it stops it.
pub struct Camera {
    fd: AsyncFd<OwnedFd>,
    maps: Vec<Map>,
}

impl Camera {
    /// Starts a camera with the size that it can do which is nearest. Waits for the device.
    ///
    /// # Errors
    /// What cannot be done with it.
    pub fn open(path: &Path, width: u32, height: u32) -> Result<Camera, CameraError> {
        let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits())
            .map_err(|error| CameraError::Open(io::Error::other(error)))?;
        let file = File::options().read(true).write(true).custom_flags(flags).open(path).map_err(CameraError::Open)?;
        let fd = OwnedFd::from(file);
        check(&fd)?;
        form(&fd, width, height)?;
        let maps = map(&fd)?;
        for index in 0..maps.len() {
            queue(&fd, index).map_err(CameraError::Start)?;
        }
        let mut kind = i32::try_from(CAPTURE).map_err(|error| CameraError::Start(io::Error::other(error)))?;
        call::<STREAMON, i32>(&fd, &mut kind).map_err(CameraError::Start)?;
        let fd = crate::watched::watched(fd, Interest::READABLE).map_err(CameraError::Start)?;
        Ok(Camera { fd, maps })
    }

    /// The next picture; `None` for one that was broken on its way.
    ///
    /// # Errors
    /// That the camera gives none any more, or one that is too large.
    pub async fn next(&mut self, most: u64) -> Result<Option<Vec<u8>>, CameraError> {
        let mut buffer = Buffer { kind: CAPTURE, memory: MMAP, ..Buffer::default() };
        loop {
            let mut ready = self.fd.readable().await.map_err(CameraError::Next)?;
            match call::<DQBUF, Buffer>(self.fd.get_ref(), &mut buffer) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) => return Err(CameraError::Next(error)),
            }
        }
        let index = usize::try_from(buffer.index).unwrap_or(usize::MAX);
        let picture = self.maps.get(index).and_then(|map| map.copy(buffer.used)).unwrap_or_default();
        queue(self.fd.get_ref(), index).map_err(CameraError::Next)?;
        let size = picture.len() as u64;
        if size > most {
            return Err(CameraError::Large { size, most });
        }
        let is_whole = buffer.flags & BROKEN == 0 && picture.starts_with(&[0xFF, 0xD8]);
        Ok(is_whole.then_some(picture))
    }
}

fn check(fd: &OwnedFd) -> Result<(), CameraError> {
    let mut found = Capability {
        driver: [0; 16],
        card: [0; 32],
        bus: [0; 32],
        version: 0,
        capabilities: 0,
        device: 0,
        reserved: [0; 3],
    };
    call::<QUERYCAP, Capability>(fd, &mut found).map_err(CameraError::Ask)?;
    // Of a device with several nodes each tells what it can itself.
    let can = if found.capabilities & HAS_OWN == 0 { found.capabilities } else { found.device };
    if can & CAN_CAPTURE == 0 || can & CAN_STREAM == 0 { Err(CameraError::NoCamera) } else { Ok(()) }
}

fn form(fd: &OwnedFd, width: u32, height: u32) -> Result<(), CameraError> {
    let field = ANY_FIELD;
    let mut format =
        Format { kind: CAPTURE, align: 0, width, height, pixels: MJPEG, field, line_bytes: 0, size: 0, rest: [0; 44] };
    call::<S_FMT, Format>(fd, &mut format).map_err(CameraError::Format)?;
    match format.pixels {
        MJPEG | JPEG => Ok(()),
        other => Err(CameraError::NoJpeg(String::from_utf8_lossy(&other.to_le_bytes()).into_owned())),
    }
}

fn map(fd: &OwnedFd) -> Result<Vec<Map>, CameraError> {
    let mut request = RequestBuffers { count: BUFFERS, kind: CAPTURE, memory: MMAP, ..RequestBuffers::default() };
    call::<REQBUFS, RequestBuffers>(fd, &mut request).map_err(CameraError::Map)?;
    let mut maps = Vec::new();
    for index in 0..request.count.min(BUFFERS) {
        let mut buffer = Buffer { index, kind: CAPTURE, memory: MMAP, ..Buffer::default() };
        call::<QUERYBUF, Buffer>(fd, &mut buffer).map_err(CameraError::Map)?;
        // The union holds 32 bits of an offset.
        let (length, offset) = (buffer.length, buffer.offset & u64::from(u32::MAX));
        if length == 0 || length > MOST_MAPPED {
            return Err(CameraError::Large { size: length.into(), most: MOST_MAPPED.into() });
        }
        maps.push(Map::new(fd, length, offset).map_err(CameraError::Map)?);
    }
    if maps.is_empty() { Err(CameraError::Map(io::Error::other("it has no memory for any"))) } else { Ok(maps) }
}

fn queue(fd: &OwnedFd, index: usize) -> io::Result<()> {
    let index = u32::try_from(index).map_err(io::Error::other)?;
    let mut buffer = Buffer { index, kind: CAPTURE, memory: MMAP, ..Buffer::default() };
    call::<QBUF, Buffer>(fd, &mut buffer)
}

/// One call about a camera; `OPCODE` is made of `T`.
fn call<const OPCODE: Opcode, T>(fd: &OwnedFd, value: &mut T) -> io::Result<()> {
    // SAFETY: every opcode of this file is used with the type that it is made of, which has the layout that the kernel reads
    // and writes (a test has the sizes and numbers), and each bit pattern is a value of it: it is made of numbers alone.
    unsafe { ioctl(fd.as_fd(), Updater::<OPCODE, T>::new(value)) }.map_err(io::Error::from)
}

/// Memory of a picture, which the kernel writes between [`queue`] and the call that takes it.
struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory belongs to this value alone, wherever it goes.
unsafe impl Send for Map {}

impl Map {
    fn new(fd: &OwnedFd, length: u32, offset: u64) -> io::Result<Map> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        // SAFETY: a new mapping at a place of the kernel's choice takes away nobody's memory.
        let start = unsafe { mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, fd, offset) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or_else(|| io::Error::other("mapped at nothing"))?;
        Ok(Map { start, length })
    }

    /// The first bytes; `None` if there are not so many. Called while the kernel does not write there.
    fn copy(&self, used: u32) -> Option<Vec<u8>> {
        let used = usize::try_from(used).ok().filter(|used| *used <= self.length)?;
        let mut bytes = Vec::with_capacity(used);
        // SAFETY: the mapping has `length` bytes, at least `used` of them, until this value is dropped, and the new vector has
        // room for them. A driver that wrote there all the same could change bytes of the picture, which are checked by
        // whoever decodes it: they are copied as they are, and no reference to them is made.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), used);
            bytes.set_len(used);
        }
        Some(bytes)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length by `new`, and nothing points there any more.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        if let Err(error) = unmapped {
            tracing::warn!(%error, "the memory of a camera's picture was not let go");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn the_structures_and_numbers_are_those_of_the_kernel() {
        assert_eq!(size_of::<Capability>(), 104);
        assert_eq!((size_of::<Format>(), offset_of!(Format, width), offset_of!(Format, size)), (208, 8, 28));
        assert_eq!(size_of::<RequestBuffers>(), 20);
        assert_eq!(size_of::<Buffer>(), 88);
        assert_eq!(
            (offset_of!(Buffer, time), offset_of!(Buffer, timecode), offset_of!(Buffer, sequence)),
            (24, 40, 56)
        );
        assert_eq!((offset_of!(Buffer, memory), offset_of!(Buffer, offset), offset_of!(Buffer, length)), (60, 64, 72));
        for (opcode, number) in [
            (QUERYCAP, 0x8068_5600),
            (S_FMT, 0xC0D0_5605),
            (REQBUFS, 0xC014_5608),
            (QUERYBUF, 0xC058_5609),
            (QBUF, 0xC058_560F),
            (DQBUF, 0xC058_5611),
            (STREAMON, 0x4004_5612_u32),
        ] {
            assert_eq!(u64::from(opcode), u64::from(number), "{number:x}");
        }
    }
}
